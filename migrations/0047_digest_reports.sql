-- Whether an update leaves *verifying* only after its device has reported the SHA-256 of what it received.
ALTER TABLE updates ADD COLUMN require_digest_report boolean NOT NULL DEFAULT false;
