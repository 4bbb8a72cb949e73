{# Today in Paris, as the reader asks: a view holds no date of its own. One macro, so that unit tests can fix the day. #}
{% macro paris_today() %}(now() at time zone 'Europe/Paris')::date{% endmacro %}
