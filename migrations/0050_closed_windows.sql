-- Whether the maintenance window was closed when a device deferred its update: then the windows decide when it goes on.
ALTER TABLE updates ADD COLUMN window_closed boolean NOT NULL DEFAULT false;
