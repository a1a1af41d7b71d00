use crate::counting;
use crate::database;
use crate::tokens::{median, once, time};
use doorwarden::core::context::Context;
use doorwarden::core::flow::throttle::refused;
use doorwarden::core::limit::Limit;
use doorwarden::core::session::ClientInfo;
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::path::Path;

/// More than the table has room for.
const ADDRESSES: usize = 1_000_000;
/// So few that they lie in the caches of the processor.
const HOT: usize = 20_000;

/// One check of a limit by the address of a client, in memory.
pub async fn measure(directory: &Path) -> Value {
    let accounts = database::open(directory).await;
    let context = accounts.context();
    let before = (counting::calls(), counting::held());
    (0..ADDRESSES).for_each(|n| take(context, n));
    let allocations = (counting::calls() - before.0) as f64 / ADDRESSES as f64;
    let grown = counting::held() - before.1;
    let ns = time(200_000, |n| take(context, n));
    // No address more often than the limit allows within a minute.
    let hot_ns = median((0..25).map(|_| once(HOT, &|n| take(context, 500_000 + n))).collect());
    accounts.close().await;
    json!({"ns": ns, "hot_ns": hot_ns, "hot_addresses": HOT, "allocations": allocations, "grown_bytes": grown, "addresses": ADDRESSES})
}

/// A request of one address, as it comes from the connection.
fn take(context: &Context, number: usize) {
    let number = u32::try_from(number * 7919 % ADDRESSES).expect("so few");
    let address = Some(Ipv4Addr::from(0x0B00_0000 + number).into());
    let client = ClientInfo { address, ..ClientInfo::default() };
    let taken = refused(context, black_box(&client), Limit::LoginAddress, None);
    black_box(taken.now_or_never().expect("everything is in memory")).expect("so few from each");
}
