//! The Postman collection, run by newman against a Waybill that runs already.

use super::Place;
use super::blocks::root;

/// Milliseconds for one request.
const REQUEST_MAX_MS: u32 = 20_000;

impl Place {
    /// Runs every request of the collection: each must answer with a status that the API description has, and those of the first folder
    /// must succeed.
    pub(super) async fn run_collection(&self) {
        let newman = root().join("tests/newman/node_modules/newman/bin/newman.js");
        assert!(newman.exists(), "newman isn't there: run scripts/setup-clients");
        let collection = root().join("docs/postman.json");
        // Any file will do as a firmware.
        std::fs::write(self.directory.path().join("firmware.bin"), "a firmware").unwrap();
        let script = format!(
            "node {} run {} --env-var url=http://{} --env-var tenant=postman --working-dir . --timeout-request {REQUEST_MAX_MS} --color off --disable-unicode --reporters cli --reporter-cli-no-success-assertions\n",
            newman.display(),
            collection.display(),
            self.addresses[0],
        );
        self.run("postman", &script).await;
    }
}
