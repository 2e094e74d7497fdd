-- One index for a device's certificates and for those that count: each certificate is entered once less.
DROP INDEX certificates_current;
DROP INDEX certificates_by_device;
CREATE INDEX certificates_by_device ON certificates (device, created_at, not_after, revoked_at);
