//! Lists of breached passwords: what is read are the hashes of the lines, in ascending order.
#![no_main]

use doorwarden_fuzz::bytes_or_edited;
use doorwarden_password::breached::{Hash, HashList};
use libfuzzer_sys::fuzz_target;

const LIST: &[u8] = b"000000005AD76BD555C1D6D771DE417A4B87E4B4:10\r\n00000000A8DAE4228F821FB418F59826079BF368:0\r\n00000000DD7F2A1C68A35673713783CA390C9E93:630";
const RANGE: &[u8] = b"0018A45C4D1DEF81644B54AB7F969B88D65:1\n00D4F6E8FA6EECAD2A3AA415EEC418D38EC:2\n";
const NTLM: &[u8] = b"00000011059407D743D40689940F858C:2\n";

fuzz_target!(|data: &[u8]| {
    let Some(bytes) = bytes_or_edited(data, &[LIST, RANGE, NTLM]) else { return };
    for list in [HashList::new("list", &bytes[..]), HashList::range("ABCDE", 0xabcde, &bytes[..])] {
        let read: Vec<_> = list.collect();
        let hashes: Vec<&Hash> = read.iter().filter_map(|next| next.as_ref().ok()).collect();
        assert!(hashes.is_sorted());
        assert!(read.iter().rev().skip(1).all(Result::is_ok), "an error is the end");
        let text = String::from_utf8_lossy(&bytes).to_uppercase();
        for hash in hashes {
            let hex: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
            assert!(text.contains(&hex) || hex.starts_with("ABCDE") && text.contains(&hex[5..]), "{hex}");
        }
    }
});
