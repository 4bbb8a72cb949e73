"""Where the generated accesses are and who uses them: communes, streets, firms, offers. Data only, nothing is drawn here.

INSEE and postal codes are the real ones (Code officiel géographique), so that an IMB code reads as in the field.
"""

from dataclasses import dataclass
from decimal import Decimal

MAINLAND_VAT = Decimal("20")
OVERSEAS_VAT = Decimal("8.5")  # Guadeloupe, Martinique, La Réunion


@dataclass(frozen=True, slots=True)
class Commune:
    name: str
    insee: str
    postal_code: str
    vat_percent: Decimal = MAINLAND_VAT


COMMUNES: tuple[Commune, ...] = (
    Commune("Bordeaux", "33063", "33000"),
    Commune("Paris 8e", "75108", "75008"),
    Commune("Lyon 3e", "69383", "69003"),
    Commune("Marseille 1er", "13201", "13001"),
    Commune("Toulouse", "31555", "31000"),
    Commune("Nantes", "44109", "44000"),
    Commune("Nice", "06088", "06000"),
    Commune("Montpellier", "34172", "34000"),
    Commune("Strasbourg", "67482", "67000"),
    Commune("Lille", "59350", "59000"),
    Commune("Rennes", "35238", "35000"),
    Commune("Reims", "51454", "51100"),
    Commune("Saint-Étienne", "42218", "42000"),
    Commune("Le Havre", "76351", "76600"),
    Commune("Grenoble", "38185", "38000"),
    Commune("Dijon", "21231", "21000"),
    Commune("Angers", "49007", "49000"),
    Commune("Nîmes", "30189", "30000"),
    Commune("Clermont-Ferrand", "63113", "63000"),
    Commune("Besançon", "25056", "25000"),
    Commune("Orléans", "45234", "45000"),
    Commune("Mulhouse", "68224", "68100"),
    Commune("Caen", "14118", "14000"),
    Commune("Nancy", "54395", "54000"),
    Commune("Périgueux", "24322", "24000"),
    Commune("Mont-de-Marsan", "40192", "40000"),
    Commune("Aurillac", "15014", "15000"),
    Commune("Laval", "53130", "53000"),
)
OVERSEAS: tuple[Commune, ...] = (
    Commune("Saint-Denis", "97411", "97400", OVERSEAS_VAT),
    Commune("Fort-de-France", "97209", "97200", OVERSEAS_VAT),
)

STREETS: tuple[str, ...] = (
    "rue de la République",
    "avenue Jean-Jaurès",
    "place du Marché",
    "boulevard Victor-Hugo",
    "rue de l'Église",
    "impasse des Chênes",
    "quai de la Marne",
    'zone artisanale "Les Prés"',
)

# Separators, quotes, accents and a leading '=' are what real site names hold, and what breaks careless readers.
FIRMS: tuple[str, ...] = (
    "Garage Lefèvre; Fils & Cie",
    'Atelier "Le Chêne"',
    "=Égal Conseil",
    "Boulangerie Zoé",
    "Cabinet Durand-Müller",
    "Clinique du Parc",
    "Mairie annexe",
    "Pharmacie Cœur de Ville",
    "Transports Nguyen",
    "École Saint-Exupéry",
    "Hôtel de l'Océan",
    "Coopérative des Deux Vallées",
)
CONTACTS: tuple[str, ...] = ("Zoé Durand", "Benoît Lefèvre", "Aïcha Benali", "Chloé Martin", "Noël Guérin")


@dataclass(frozen=True, slots=True)
class Offer:
    """An access product: prices in whole and half units of currency per month, access fee in the same currency."""

    technology: str
    speed: str
    lowest: int
    highest: int
    access_fee: Decimal
    weight: int


OFFERS: tuple[Offer, ...] = (
    Offer("FTTH", "500Mbps", 12, 24, Decimal("45.00"), 35),
    Offer("FTTH", "1Gbps", 16, 30, Decimal("45.00"), 33),
    Offer("FTTH", "2Gbps", 22, 35, Decimal("55.00"), 10),
    Offer("FTTE", "200Mbps", 60, 140, Decimal("180.00"), 8),
    Offer("FTTA", "10Gbps", 120, 260, Decimal("250.00"), 2),
    Offer("FTTO", "100Mbps", 150, 420, Decimal("450.00"), 8),
    Offer("FTTO", "1Gbps", 320, 900, Decimal("600.00"), 4),
)
