{# No two rows share these columns' values, and none of them is null: a null would make two equal keys look different. #}
{% test unique_key(model, columns) %}
select {{ columns | join(', ') }}, count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1 or {% for column in columns %}bool_or({{ column }} is null){{ ' or ' if not loop.last }}{% endfor %}
{% endtest %}
