{# Marts as Parquet, and rows that failed beside them: what a person looks at first. dbt-duckdb's own `external`
   writes a row of nulls where a mart is empty. #}
{% macro write_down(results) %}
  {% if execute %}
    {% set folder = env_var('INFINITY_SNAPSHOT') %}
    {% for result in results if result.node.relation_name %}
      {% if result.node.resource_type == 'model' and result.status == 'success' %}
        {% do run_query(
          "copy " ~ result.node.relation_name ~ " to '" ~ folder ~ "/marts/" ~ result.node.name ~ ".parquet'"
          ~ " (format parquet, compression zstd)"
        ) %}
      {% elif result.node.resource_type == 'test' and result.failures %}
        {% do run_query(
          "copy (select * from " ~ result.node.relation_name ~ " limit 20) to '" ~ folder ~ "/scratch/failures/"
          ~ result.node.name ~ ".parquet' (format parquet)"
        ) %}
      {% endif %}
    {% endfor %}
  {% endif %}
{% endmacro %}

{# Rows of `upper` that `lower` must have exactly once each, and has not, or has without them. #}
{% macro passed_on(upper, lower) %}
  select coalesce(u.sample_id, l.sample_id) as sample_id, coalesce(u.source, l.source) as partition
  from ({{ upper }}) u full outer join ({{ lower }}) l on u.sample_id = l.sample_id
  where u.sample_id is null or l.sample_id is null or u.source <> l.source
{% endmacro %}

{# Every value is one of these; unlike dbt's own test it names the rows. #}
{% test verdict_in(model, column_name, values) %}
  select * from {{ model }}
  where {{ column_name }} is null or {{ column_name }} not in ('{{ values | join("', '") }}')
     or (({{ column_name }} = 'keep') <> (reason is null))
{% endtest %}

{# No value twice; unlike dbt's own test it names the partitions that have it. #}
{% test only_once(model, column_name, partition) %}
  select {{ column_name }}, min({{ partition }}) as partition, max({{ partition }}) as other, count(*) as times
  from {{ model }} group by {{ column_name }} having count(*) > 1
{% endtest %}

{# Lower edge of the bin that a measure falls into; 0 has a bin of its own. #}
{% macro bin_of(value) %}
  case when {{ value }} = 0 then 0
    else sign({{ value }}) * round(2 ** (floor(4 * log2(abs({{ value }}::double))) / 4), 6) end
{% endmacro %}

{% macro stages() %}
  (values ('raw', 1), ('images', 2), ('unified', 3), ('duplicate_ledger', 4), ('deduped', 5), ('tagged', 6),
          ('synthesis_qa', 7), ('synthesized', 8), ('scored', 9), ('filtered', 10), ('contamination', 11),
          ('mixed', 12)) as s(stage, place)
{% endmacro %}
