//! What is true of user accounts: types, policies, flows and storage traits. No HTTP, no SQL, no files.
