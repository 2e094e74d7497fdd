-- What went wrong last, for people: events are many, and failures few.
CREATE INDEX events_failed ON events (verdict, time, node, seq) WHERE verdict IN ('failed', 'refused');
