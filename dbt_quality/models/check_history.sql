-- Each check over the runs that are remembered: the last outcome, and how often it failed.
select
  engine, stage, partition, name,
  count(*) as runs,
  count(*) filter (not passed) as failures,
  max_by(passed, number) as passed,
  max_by(blocking, number) as blocking,
  max_by(failed_rows, number) as failed_rows,
  max_by(told, number) as told,
  max_by(failing_ids, number) as failing_ids,
  max_by(run_id, number) as run_id,
  max_by(checked_at, number) as checked_at,
  list(passed order by number)[-30:] as strip
from {{ source('snapshot', 'checks') }}
group by engine, stage, partition, name
order by passed, failures desc, stage, partition, name
