-- Finds what to tell, and what to forget.
CREATE INDEX IF NOT EXISTS notifications_due ON notifications (region, due_at);
