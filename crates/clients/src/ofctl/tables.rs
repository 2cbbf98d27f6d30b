//! Tables of a switch.

use heddle_openflow::multipart::TableStats;

/// Bits of the fields that OpenFlow 1.0 may leave out.
const ALL_FIELDS: u64 = 0x3f_ffff;

/// What a table prints below its name.
fn describe(table: &TableStats) -> (String, String) {
    let counts =
        format!("    active={}, lookup={}, matched={}\n", table.active, table.lookups, table.matched);
    let Some(can) = &table.abilities else { return (counts, String::new()) };
    let mut features = format!("    max_entries={}\n", can.max_entries);
    // Fields that may be left out; all are, in the switches that there are.
    if can.wildcards & ALL_FIELDS == ALL_FIELDS {
        features += "    matching:\n      exact match or wildcard: in_port eth_{src,dst,type} vlan_{vid,pcp} ip_{src,dst} nw_{proto,tos} tcp_{src,dst}\n";
    }
    (counts, features)
}

/// Tables that say the same as the one before are told in one line.
pub fn print(tables: &[TableStats]) -> String {
    let mut out = String::from("\n");
    let described: Vec<(String, String)> = tables.iter().map(describe).collect();
    let mut index = 0;
    while index < tables.len() {
        let (counts, features) = &described[index];
        let same = index > 0 && described[index - 1].1 == *features && !features.is_empty();
        if index > 0 && described[index - 1] == described[index] {
            let end = (index..tables.len())
                .take_while(|&at| described[at] == described[index])
                .last()
                .unwrap_or(index);
            out += &match end == index {
                true => format!("  table {}: ditto\n", tables[index].table_id),
                false => format!("  tables {}...{}: ditto\n", tables[index].table_id, tables[end].table_id),
            };
            index = end + 1;
            if index < tables.len() {
                out.push('\n');
            }
            continue;
        }
        out += &format!("  table {}:\n{counts}", tables[index].table_id);
        out += if same { "    (same features)\n" } else { features };
        index += 1;
        if index < tables.len() {
            out.push('\n');
        }
    }
    out
}
