-- Why: nobody looks for records by these columns, and statistics of wide values took more than half of the time of an ANALYZE.
ALTER TABLE records
    ALTER headers SET STATISTICS 0,
    ALTER body SET STATISTICS 0,
    ALTER sha256 SET STATISTICS 0,
    ALTER subject SET STATISTICS 0,
    ALTER causation_id SET STATISTICS 0,
    ALTER causation_position SET STATISTICS 0;
