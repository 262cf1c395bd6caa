-- Which server a shard's move copies from and to: system identifier and timeline. A standby that was
-- promoted has another timeline, and not all that the move relies on. Null: an older version has begun
-- the move.
alter table mpackd_shard_moves add column if not exists old_timeline text collate "C";
alter table mpackd_shard_moves add column if not exists new_timeline text collate "C";
