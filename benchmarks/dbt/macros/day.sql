{% macro day() %}'{{ var("day") }}'::date{% endmacro %}
{% macro start_at() %}'{{ var("day") }} 00:00:00+00'::timestamptz{% endmacro %}
{% macro end_at() %}('{{ var("day") }} 00:00:00+00'::timestamptz + interval '24 hours'){% endmacro %}
