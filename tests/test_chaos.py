"""The comparison that `make chaos` ends with notices what differs."""

from psycopg2.extensions import connection

from tests.chaos.contents import contents, differences, halves


def test_every_difference_is_noticed(simulated: str, sql: connection) -> None:
    before = contents(simulated)
    assert differences(before, contents(simulated)) == []
    assert halves(simulated) == []
    with sql.cursor() as cursor:
        cursor.execute("update staging.source_file set loaded_at = now()")
        assert differences(before, contents(simulated)) == []
        cursor.execute(
            "update cycle_series set soh_target = soh_target + 1e-15"
            " where battery_id = 'S0001' and cycle_index = 7"
        )
        cursor.execute(
            "delete from staging.aging_recording where battery_id = 'S0002' and recording_index = 3"
        )
        cursor.execute("drop table quality_count cascade")
    after = contents(simulated)
    said = differences(before, after)
    assert "public.cycle_series: 1 rows are missing, 1 new (S0001)" in said
    assert "staging.aging_recording: 1 rows are missing, 0 new (S0002)" in said
    assert "public.quality_count is missing" in said
    assert not any("quality_count" in it for it in differences(before, after, is_part=True))
    assert halves(simulated) == ["S0002, S0002.mat: 130 of 131 recordings are in staging"]
