with

source as (

    select * from {{ source('staging', 'aging_impedance') }}

),

layouts as (

    select * from {{ ref('layout_default') }}

),

renamed as (

    select
        battery_id,
        piece,
        recording_index,
        {{ timestamp_from('date_vector') }} as started_at,
        electrolyte_resistance_re_ohm as internal_resistance_ohm,
        charge_transfer_resistance_re_ohm as charge_transfer_resistance_ohm,
        -- a fit that failed is complex, or has lost contact
        coalesce(electrolyte_resistance_im_ohm, 0) = 0
        and coalesce(charge_transfer_resistance_im_ohm, 0) = 0
        and coalesce({{ plausible('electrolyte_resistance_re_ohm', 'size_a') }}, 0) > 0
        and coalesce({{ plausible('charge_transfer_resistance_re_ohm', 'size_a') }}, 0) > 0
            as is_plausible
    from source
    cross join (select rated_capacity_ah as size_a from layouts where layout = 'aging') as cell

)

select * from renamed
