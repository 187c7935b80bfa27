-- The service's role: it may add audit rows and read them, and can never change or remove one.
-- Run as the owner of the tables, after every `migrate` (which is the owner's to run).
BEGIN;
GRANT USAGE ON SCHEMA public TO securedrop_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO securedrop_service;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO securedrop_service;

-- Audit rows: INSERT and SELECT.
REVOKE UPDATE, DELETE, TRUNCATE ON securedrop_ftp_auditevent FROM securedrop_service;
-- The chain's head: one row, made once, moved with every audit row.
REVOKE DELETE, TRUNCATE ON securedrop_ftp_audithead FROM securedrop_service;
-- What was migrated is the owner's to say.
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON django_migrations FROM securedrop_service;
COMMIT;
