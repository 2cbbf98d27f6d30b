//! Actions and instructions in Ryu's words: dictionaries that are read, texts that are written.

use base64::alphabet::STANDARD;
use base64::engine::{Engine as _, GeneralPurpose, GeneralPurposeConfig};
use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, Match};
use heddle_openflow::action::Bits;
use heddle_openflow::text::print_action;
use heddle_openflow::{Action, Body, Instruction, OfError, Version, decode, port};
use serde_json::{Map, Value, json};

use super::matching::{exact_value, field, name, value_text};
use super::words::{
    GROUPS, LENGTHS, MAX_LEN, METERS, Names, QUEUES, dictionary, list, needed, number, port_text, port_under,
    under,
};
use super::{Notes, Refusal};

type Dictionary = Map<String, Value>;

/// As Python reads it: padded, and of bits that say nothing any.
pub(super) const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// A tag that is there, with its VLAN; one with its priority.
const VID: u128 = VLAN_PRESENT as u128 | 0xfff;
const PCP: u128 = VLAN_PRESENT as u128 | 7 << 13;
/// Fields of ports, by source or destination: which protocol's is meant, OpenFlow 1.0 leaves to the packet.
const PORTS: [[Field; 3]; 2] =
    [[Field::TcpSrc, Field::UdpSrc, Field::SctpSrc], [Field::TcpDst, Field::UdpDst, Field::SctpDst]];

/// Reads the actions of a flow with this match.
///
/// # Errors
/// A value that is missing or none of its action.
pub(super) fn read(
    items: &[Value],
    version: Version,
    matching: &Match,
    notes: &mut Notes,
) -> Result<Vec<Instruction>, Refusal> {
    if version == Version::V1_0 {
        let mut actions = Vec::new();
        for item in items {
            actions.extend(read_10(dictionary(item)?, matching, notes)?);
        }
        return Ok(if actions.is_empty() { Vec::new() } else { vec![Instruction::Apply(actions)] });
    }
    let (mut instructions, mut apply) = (Vec::new(), Vec::new());
    for item in items {
        let item = dictionary(item)?;
        if let Some(action) = read_action(item, notes)? {
            apply.push(action);
        } else if let Some(instruction) = read_instruction(item, notes)? {
            match instruction {
                Instruction::Apply(actions) => apply.extend(actions),
                Instruction::Write(actions) if actions.is_empty() => {}
                instruction => instructions.push(instruction),
            }
        } else if !notes.is_refused() {
            notes.ignored("action", kind(item));
        }
    }
    if !apply.is_empty() {
        instructions.push(Instruction::Apply(apply));
    }
    Ok(instructions)
}

/// Reads a list of actions without instructions, such as a bucket's.
///
/// # Errors
/// As [`read`].
pub(super) fn read_list(items: &[Value], notes: &mut Notes) -> Result<Vec<Action>, Refusal> {
    let mut actions = Vec::new();
    for item in items {
        let item = dictionary(item)?;
        match read_action(item, notes)? {
            Some(action) => actions.push(action),
            None if notes.is_refused() => {}
            None => notes.ignored("action", kind(item)),
        }
    }
    Ok(actions)
}

fn kind(item: &Dictionary) -> &str {
    item.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn read_instruction(item: &Dictionary, notes: &mut Notes) -> Result<Option<Instruction>, Refusal> {
    Ok(Some(match kind(item) {
        "WRITE_ACTIONS" => Instruction::Write(read_list(list(item, "actions")?, notes)?),
        "APPLY_ACTIONS" => Instruction::Apply(read_list(list(item, "actions")?, notes)?),
        "CLEAR_ACTIONS" => Instruction::Clear,
        "GOTO_TABLE" => Instruction::GotoTable(table(item)?),
        "WRITE_METADATA" => Instruction::WriteMetadata {
            value: needed(item, "metadata")?,
            mask: under(item, "metadata_mask", u64::MAX)?,
        },
        "METER" => Instruction::Meter(METERS.read(item.get("meter_id").unwrap_or(&Value::Null))?),
        _ => return Ok(None),
    }))
}

fn table(item: &Dictionary) -> Result<u8, Refusal> {
    let table = Names::tables(Version::V1_3).read(item.get("table_id").unwrap_or(&Value::Null))?;
    u8::try_from(table).map_err(|_| Refusal::bad(format!("table_id: {table} has more than 8 bits")))
}

/// Reads an action of OpenFlow 1.2 and later; none where it is no action.
fn read_action(item: &Dictionary, notes: &mut Notes) -> Result<Option<Action>, Refusal> {
    let id = |key: &str| item.get(key).unwrap_or(&Value::Null);
    Ok(Some(match kind(item) {
        "OUTPUT" => Action::Output {
            port: port_under(Version::V1_3, item, "port", port::ANY)?,
            max_len: u16::try_from(LENGTHS.get(item, "max_len", MAX_LEN.into())?)
                .map_err(|_| Refusal::bad("max_len has more than 16 bits"))?,
        },
        "COPY_TTL_OUT" => Action::CopyTtlOut,
        "COPY_TTL_IN" => Action::CopyTtlIn,
        "SET_MPLS_TTL" => Action::SetMplsTtl(needed(item, "mpls_ttl")?),
        "DEC_MPLS_TTL" => Action::DecMplsTtl,
        "PUSH_VLAN" => Action::PushVlan(needed(item, "ethertype")?),
        "POP_VLAN" => Action::PopVlan,
        "PUSH_MPLS" => Action::PushMpls(needed(item, "ethertype")?),
        "POP_MPLS" => Action::PopMpls(needed(item, "ethertype")?),
        "PUSH_PBB" => Action::PushPbb(needed(item, "ethertype")?),
        "POP_PBB" => Action::PopPbb,
        "SET_QUEUE" => Action::SetQueue(QUEUES.read(id("queue_id"))?),
        "GROUP" => Action::Group(GROUPS.read(id("group_id"))?),
        "SET_NW_TTL" => Action::SetTtl(needed(item, "nw_ttl")?),
        "DEC_NW_TTL" => Action::DecTtl,
        "SET_FIELD" => {
            let wanted = item.get("field").and_then(Value::as_str).and_then(field);
            let Some(field) = wanted else {
                return Err(Refusal::bad(format!("{} is no field", id("field"))));
            };
            let value = exact_value(field, id("value")).map_err(|refusal| refusal.under(name(field)))?;
            Action::SetField { field, value, mask: field.spec().full_mask() }
        }
        "EXPERIMENTER" => return read_experimenter(item, notes),
        _ => return Ok(None),
    }))
}

/// An experimenter's action is known by the codec, or no switch is asked to run it.
fn read_experimenter(item: &Dictionary, notes: &mut Notes) -> Result<Option<Action>, Refusal> {
    let experimenter: u32 = needed(item, "experimenter")?;
    let Some(mut data) = read_data(item, notes)? else { return Ok(None) };
    data.resize(data.len().next_multiple_of(8), 0);
    let length = 8 + data.len();
    let whole = 24 + length;
    let Ok(stated) = u16::try_from(whole) else { return Err(Refusal::bad("data is too long")) };
    // A packet-out of this one action: header, buffer, input port, length of the actions.
    let mut message = vec![Version::V1_3 as u8, 13];
    message.extend(stated.to_be_bytes());
    message.extend([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfd]);
    message.extend((length as u16).to_be_bytes());
    message.extend([0; 6]);
    message.extend([0xff, 0xff]);
    message.extend((length as u16).to_be_bytes());
    message.extend(experimenter.to_be_bytes());
    message.extend(data);
    match decode(&message).map(|message| message.body) {
        Ok(Body::PacketOut(mut packet)) if packet.actions.len() == 1 => Ok(packet.actions.pop()),
        Ok(_) => Err(Refusal::bad("data is more than one action")),
        Err(fault) => {
            notes.refused(fault.error, "EXPERIMENTER");
            Ok(None)
        }
    }
}

/// The bytes under `data`, written as `data_type` says; none where that is not known, which is noted.
///
/// # Errors
/// They are not what it says.
pub(super) fn read_data(item: &Dictionary, notes: &mut Notes) -> Result<Option<Vec<u8>>, Refusal> {
    let text = |key: &str, default: &'static str| match item.get(key) {
        None => Ok(default.to_owned()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(Refusal::bad(format!("{key}: {other} is no text"))),
    };
    let (data, form) = (text("data", "")?, text("data_type", "ascii")?);
    match form.as_str() {
        "ascii" if data.is_ascii() => Ok(Some(data.into_bytes())),
        "ascii" => Err(Refusal::bad("data is not ASCII")),
        "base64" => BASE64.decode(&data).map(Some).map_err(|_| Refusal::bad("data is not Base64")),
        _ => {
            notes.ignored("data_type", &form);
            Ok(None)
        }
    }
}

fn set(field: Field, value: u128, mask: u128) -> Vec<Action> {
    vec![Action::SetField { field, value, mask }]
}

fn read_10(item: &Dictionary, matching: &Match, notes: &mut Notes) -> Result<Vec<Action>, Refusal> {
    const V10: Version = Version::V1_0;
    let address = |field: Field, key: &str| -> Result<Vec<Action>, Refusal> {
        let value = exact_value(field, item.get(key).unwrap_or(&Value::Null))?;
        Ok(set(field, value, field.spec().full_mask()))
    };
    let transport = |fields: [Field; 3], key: &str| -> Result<Vec<Action>, Refusal> {
        let value: u16 = under(item, key, 0)?;
        let known: Vec<Field> = fields.into_iter().filter(|field| matching.satisfies(*field)).collect();
        let fields = if known.is_empty() { fields.to_vec() } else { known };
        Ok(fields.into_iter().flat_map(|field| set(field, value.into(), 0xffff)).collect())
    };
    Ok(match kind(item) {
        "OUTPUT" => {
            let max_len = under(item, "max_len", MAX_LEN)?;
            vec![Action::Output { port: port_under(V10, item, "port", port::ANY)?, max_len }]
        }
        "SET_VLAN_VID" => match under(item, "vlan_vid", 0xffff)? {
            vid @ 0..=0xfff => set(Field::VlanTci, u128::from(vid | VLAN_PRESENT), VID),
            _ => return refuse(notes, OfError::ActionBadArgument, "SET_VLAN_VID"),
        },
        "SET_VLAN_PCP" => match under::<u8>(item, "vlan_pcp", 0)? {
            pcp @ 0..=7 => set(Field::VlanTci, u128::from(u16::from(pcp) << 13 | VLAN_PRESENT), PCP),
            _ => return refuse(notes, OfError::ActionBadArgument, "SET_VLAN_PCP"),
        },
        "STRIP_VLAN" => vec![Action::PopVlan],
        "SET_DL_SRC" => address(Field::EthSrc, "dl_src")?,
        "SET_DL_DST" => address(Field::EthDst, "dl_dst")?,
        "SET_NW_SRC" => address(Field::Ipv4Src, "nw_src")?,
        "SET_NW_DST" => address(Field::Ipv4Dst, "nw_dst")?,
        "SET_NW_TOS" => match under::<u8>(item, "nw_tos", 0)? {
            tos if tos & 3 == 0 => set(Field::IpDscp, u128::from(tos >> 2), 0x3f),
            _ => return refuse(notes, OfError::ActionBadArgument, "SET_NW_TOS"),
        },
        "SET_TP_SRC" => transport(PORTS[0], "tp_src")?,
        "SET_TP_DST" => transport(PORTS[1], "tp_dst")?,
        "ENQUEUE" => vec![Action::Enqueue {
            port: port_under(V10, item, "port", port::ANY)?,
            queue: QUEUES.get(item, "queue_id", 0)?,
        }],
        unknown => {
            notes.ignored("action", unknown);
            Vec::new()
        }
    })
}

fn refuse(notes: &mut Notes, error: OfError, what: &str) -> Result<Vec<Action>, Refusal> {
    notes.refused(error, what);
    Ok(Vec::new())
}

/// Writes what a flow does.
pub(super) fn write(instructions: &[Instruction], version: Version) -> Vec<Value> {
    let mut written: Vec<Value> = Vec::new();
    for instruction in instructions {
        match instruction {
            Instruction::Apply(actions) => {
                written.extend(write_list(actions, version).into_iter().map(Value::from));
            }
            Instruction::Write(actions) if actions.is_empty() => {}
            Instruction::Write(actions) => {
                written.push(json!({ "WRITE_ACTIONS": write_list(actions, version) }));
            }
            Instruction::Clear => written.push("CLEAR_ACTIONS".into()),
            Instruction::GotoTable(table) => {
                let table = Names::tables(version).text((*table).into());
                written.push(format!("GOTO_TABLE:{table}").into());
            }
            Instruction::WriteMetadata { value, mask: 0 } => {
                written.push(format!("WRITE_METADATA:{value:#x}").into());
            }
            Instruction::WriteMetadata { value, mask } => {
                written.push(format!("WRITE_METADATA:{value:#x}/{mask:#x}").into());
            }
            Instruction::Meter(meter) => written.push(format!("METER:{}", METERS.text(*meter)).into()),
        }
    }
    written
}

/// Writes actions, each as a text.
pub(super) fn write_list(actions: &[Action], version: Version) -> Vec<String> {
    if version == Version::V1_0 {
        return write_list_10(actions);
    }
    actions.iter().map(write_action).collect()
}

fn write_action(action: &Action) -> String {
    match action {
        Action::Output { port, .. } => format!("OUTPUT:{}", port_text(Version::V1_3, *port)),
        Action::CopyTtlOut => "COPY_TTL_OUT".into(),
        Action::CopyTtlIn => "COPY_TTL_IN".into(),
        Action::SetMplsTtl(ttl) => format!("SET_MPLS_TTL:{ttl}"),
        Action::DecMplsTtl => "DEC_MPLS_TTL".into(),
        Action::PushVlan(kind) => format!("PUSH_VLAN:{kind}"),
        Action::PopVlan => "POP_VLAN".into(),
        Action::PushMpls(kind) => format!("PUSH_MPLS:{kind}"),
        Action::PopMpls(kind) => format!("POP_MPLS:{kind}"),
        Action::PushPbb(kind) => format!("PUSH_PBB:{kind}"),
        Action::PopPbb => "POP_PBB".into(),
        Action::SetQueue(queue) => format!("SET_QUEUE:{}", QUEUES.text(*queue)),
        Action::Group(group) => format!("GROUP:{}", GROUPS.text(*group)),
        Action::SetTtl(ttl) => format!("SET_NW_TTL:{ttl}"),
        Action::DecTtl => "DEC_NW_TTL".into(),
        Action::SetField { field, value, mask } if *mask == field.spec().full_mask() => {
            format!("SET_FIELD: {{{}:{}}}", name(*field), value_text(*field, *value))
        }
        Action::Load { bits: Bits { field, offset, count }, value } => {
            format!("NX_LOAD: {{{}[{offset}..{}]: {value:x}}}", nicira_name(*field), offset + count)
        }
        Action::Move { src, src_ofs, dst, dst_ofs, n_bits } => {
            let bits = |field: Field, from: u16| format!("{}[{from}..{}]", nicira_name(field), from + n_bits);
            format!("NX_MOVE: {{{}: {}}}", bits(*dst, *dst_ofs), bits(*src, *src_ofs))
        }
        Action::Conjunction { id, clause, clauses } => {
            format!("NX_CONJUNCTION: {{clause: {clause}, number_of_clauses: {clauses}, id: {id}}}")
        }
        // Ryu has no words for the others, and no answer at all for a flow that has one.
        other => print_action(other),
    }
}

/// Ryu's name of a field by Nicira's number, which differs where OpenFlow has a number too.
fn nicira_name(field: Field) -> String {
    let spec = field.spec();
    let both = spec.oxm.is_some() && spec.nxm.is_some();
    match field {
        Field::NdTarget | Field::NdSll | Field::NdTll | Field::Ipv6Label => spec.name.to_owned(),
        _ if both => format!("{}_nxm", name(field)),
        _ => name(field).to_owned(),
    }
}

fn write_list_10(mut actions: &[Action]) -> Vec<String> {
    let mut written = Vec::new();
    while let Some((action, rest)) = actions.split_first() {
        actions = rest;
        written.push(match *action {
            Action::Output { port, .. } => format!("OUTPUT:{}", port_text(Version::V1_0, port)),
            Action::Enqueue { port, queue } => {
                format!("ENQUEUE:{}:{}", port_text(Version::V1_0, port), QUEUES.text(queue))
            }
            Action::PopVlan => "STRIP_VLAN".into(),
            Action::SetField { field, value, mask } => {
                let text = || value_text(field, value);
                match field {
                    Field::VlanTci if mask == VID => format!("SET_VLAN_VID:{}", value & 0xfff),
                    Field::VlanTci if mask == PCP => format!("SET_VLAN_PCP:{}", value >> 13),
                    Field::EthSrc => format!("SET_DL_SRC:{}", text()),
                    Field::EthDst => format!("SET_DL_DST:{}", text()),
                    Field::Ipv4Src => format!("SET_NW_SRC:{}", text()),
                    Field::Ipv4Dst => format!("SET_NW_DST:{}", text()),
                    Field::IpDscp => format!("SET_NW_TOS:{}", value << 2),
                    _ => match PORTS.iter().position(|fields| fields.contains(&field)) {
                        Some(side) => {
                            // Where no protocol is known, one action is read as one for each.
                            let same = set(PORTS[side][1], value, mask) == rest.get(..1).unwrap_or_default()
                                && set(PORTS[side][2], value, mask) == rest.get(1..2).unwrap_or_default();
                            actions = if same { &rest[2..] } else { rest };
                            format!("SET_TP_{}:{value}", ["SRC", "DST"][side])
                        }
                        None => "VENDOR".into(),
                    },
                }
            }
            _ => "VENDOR".into(),
        });
    }
    written
}

/// Reads the table under `table_id`.
///
/// # Errors
/// It is none.
pub(super) fn table_under(map: &Dictionary, version: Version, default: u8) -> Result<u8, Refusal> {
    match map.get("table_id") {
        None => Ok(default),
        Some(value) => {
            let table = Names::tables(version).read(value)?;
            number(&table.into()).map_err(|refusal| refusal.under("table_id"))
        }
    }
}
