{# The calendar month before a period, as a period: 2024-01 is preceded by 2023-12, whatever months have data. #}
{% macro previous_month(period) %}to_char(to_date({{ period }}, 'YYYY-MM') - interval '1 month', 'YYYY-MM')::char(7){% endmacro %}
