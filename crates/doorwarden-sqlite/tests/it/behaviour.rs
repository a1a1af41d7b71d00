use crate::support::open;

doorwarden_testkit::store_suite!(open);
