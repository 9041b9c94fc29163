-- How much of the charge put in comes out again, and how does charging change with age?
select
    battery_id,
    case when cycle_index <= 20 then 'first 20' else 'last 20' end as cycles,
    round(
        percentile_cont(0.5) within group (order by discharge_capacity / charge_capacity)::numeric, 3
    ) as charge_out_per_charge_in,
    round(avg(cc_charge_time / 60)::numeric) as constant_current_min,
    round(avg(cv_charge_time / 60)::numeric) as constant_voltage_min
from {{ ref('cycle_features') }} as cycles
inner join {{ ref('battery_summary') }} as batteries using (battery_id)
where
    battery_id in ({{ analysed_batteries() }})
    and (cycle_index <= 20 or cycle_index > batteries.cycles - 20)
group by battery_id, case when cycle_index <= 20 then 'first 20' else 'last 20' end
order by battery_id, cycles
