//! Every row of the table of fields, by each number that it has on the wire (OpenFlow 1.3.5 section 7.2.3): packets with and
//! without the value, masks, what it presupposes, and what is refused; then its set-field.

use heddle_flow::FieldSpec;
use heddle_flow::field::{FIELDS, OxmId};
use heddle_openflow::OfError;

use crate::common::*;
use crate::frames::{Kind, bits, finish, frame, set_bits};
use crate::places::{Place, place, prerequisite};
use crate::world::World;

/// Each field with each number that it has.
fn numbered() -> impl Iterator<Item = (&'static FieldSpec, OxmId)> {
    FIELDS.iter().flat_map(|spec| [spec.oxm, spec.nxm].into_iter().flatten().map(move |id| (spec, id)))
}

fn digits(id: OxmId, value: u128) -> String {
    format!("{value:0width$x}", width = usize::from(id.length) * 2)
}

/// A field on the wire.
fn oxm(id: OxmId, value: u128, mask: Option<u128>) -> String {
    let (number, length) = (id.field << 1 | u8::from(mask.is_some()), id.length << u8::from(mask.is_some()));
    let mask = mask.map(|mask| digits(id, mask)).unwrap_or_default();
    format!("{:04x}{number:02x}{length:02x}{}{mask}", id.class, digits(id, value))
}

fn set(id: OxmId, value: u128) -> Vec<u8> {
    element(25, &oxm(id, value, None))
}

fn goto(table: u8) -> Vec<u8> {
    hex(&format!("0001 0008 {table:02x}000000"))
}

fn flow(fields: &str, actions: &[Vec<u8>]) -> Mod {
    Mod { matching: matching(fields), instructions: apply(actions), ..Mod::default() }
}

/// Masks that are tried: the upper half, the lower half, every second bit, a single one.
fn masks(spec: &FieldSpec) -> Vec<u128> {
    let full = spec.full_mask();
    let upper = full & !(full >> (spec.bits / 2).max(1));
    let stripes = u128::from_be_bytes([0x55; 16]) & full;
    [upper, full & !upper, stripes, 1 << (spec.bits / 3)].into_iter().filter(|&mask| mask != 0).collect()
}

/// The lowest, a middle and the highest bit.
fn flips(spec: &FieldSpec) -> [u128; 3] {
    [1, 1 << (spec.bits / 2), 1 << (spec.bits - 1)]
}

/// What is asked of the world: that a packet with this value of the field passes, or does not, by a match on value and mask.
struct Case<'a> {
    spec: &'static FieldSpec,
    id: OxmId,
    before: &'a str,
    value: u128,
    /// Bits that a packet cannot differ in.
    fixed: u128,
}

impl Case<'_> {
    /// Tries the value, others and masks; `try_one` says whether a packet with a value is taken.
    fn run(&self, world: &mut World, table: u8, mut take: impl FnMut(&mut World, u128) -> bool) {
        let Self { spec, id, value, fixed, .. } = *self;
        let name = format!("{} ({:#x}, {})", spec.name, id.class, self.before);
        let ask = |world: &mut World, wanted: u128, mask: Option<u128>| {
            world.tell(&Mod { command: 3, table, ..Mod::default() }.bytes());
            let fields = format!("{}{}", self.before, oxm(id, wanted, mask));
            world.add(&Mod { table, ..flow(&fields, &[output(2)]) });
        };
        ask(world, value, None);
        assert!(take(world, value), "{name}: a packet with the value is not taken");
        for flip in flips(spec).into_iter().filter(|flip| flip & fixed == 0) {
            assert!(!take(world, value ^ flip), "{name}: a packet with {flip:#x} different is taken");
        }
        if !spec.maskable {
            return;
        }
        for mask in masks(spec) {
            ask(world, value & mask, Some(mask));
            assert!(take(world, value), "{name}/{mask:#x}: a packet with the value is not taken");
            let (inside, outside) = (mask & !fixed, spec.full_mask() & !mask & !fixed);
            if inside != 0 {
                let flip = 1 << (127 - inside.leading_zeros());
                assert!(!take(world, value ^ flip), "{name}/{mask:#x}: {flip:#x} does not count");
            }
            if outside != 0 {
                assert!(take(world, value ^ outside), "{name}/{mask:#x}: {outside:#x} counts");
            }
        }
    }
}

fn with(kind: Kind, from: usize, spec: &FieldSpec, fixed: u128, value: u128) -> Vec<u8> {
    let mut bytes = frame(kind);
    let old = bits(&bytes, from, spec.bits.into());
    set_bits(&mut bytes, from, spec.bits.into(), old & fixed | value & !fixed);
    finish(kind, bytes)
}

#[test]
fn packets_match_by_their_headers() {
    let mut world = World::new();
    for (spec, id) in numbered() {
        let Place::Header { at, fixed, present } = place(spec.field) else { continue };
        for (kind, from) in at {
            let before = prerequisite(spec.prerequisite, kind);
            let value = bits(&frame(kind), from, spec.bits.into()) & !fixed | present;
            let case = Case { spec, id, before: &before, value, fixed };
            case.run(&mut world, 0, |world, value| {
                match world.ports(&with(kind, from, spec, fixed, value))[..] {
                    [] => false,
                    [2] => true,
                    ref ports => panic!("{}: out of {ports:?}", spec.name),
                }
            });
        }
    }
    assert_eq!(world.switch.mismatches(), 0);
}

/// A value with ones and zeros all over.
fn pattern(spec: &FieldSpec) -> u128 {
    0x9a5c_3f17_e284_6bd0_1d2e_4c8b_7fa3_6591 & spec.full_mask()
}

#[test]
fn packets_match_by_what_the_pipeline_carries() {
    let mut world = World::new();
    for (spec, id) in numbered() {
        let Place::Carried = place(spec.field) else { continue };
        let case = Case { spec, id, before: "", value: pattern(spec), fixed: 0 };
        case.run(&mut world, 1, |world, value| {
            let instructions = [apply(&[set(id, value)]), goto(1)].concat();
            world.add(&Mod { instructions, ..Mod::default() });
            !world.ports(&frame(Kind::Udp4)).is_empty()
        });
    }
    assert_eq!(world.switch.mismatches(), 0);
}

#[test]
fn what_a_match_may_not_say_is_refused() {
    let mut world = World::new();
    for (spec, id) in numbered() {
        let name = spec.name;
        let kinds = match place(spec.field) {
            Place::Header { at, .. } => at.into_iter().map(|(kind, _)| kind).collect(),
            _ => vec![Kind::Udp6],
        };
        for kind in kinds {
            let before = prerequisite(spec.prerequisite, kind);
            let mut refused = |fields: &str, error: OfError| {
                let given = world.refused(&flow(fields, &[]).bytes());
                assert_eq!(given, error, "{name}: {fields}");
            };
            let one = oxm(id, 0, None);
            if !before.is_empty() {
                refused(&one, OfError::MatchBadPrerequisite);
                refused(&format!("80000a02 88cc {one}"), OfError::MatchBadPrerequisite);
                refused(&format!("{one}{before}"), OfError::MatchBadPrerequisite);
            }
            refused(&format!("{before}{one}{one}"), OfError::MatchDuplicateField);
            let longer = OxmId { length: id.length + 1, ..id };
            refused(&format!("{before}{}", oxm(longer, 0, None)), OfError::MatchBadLength);
            refused(
                &format!("{before}{}", oxm(id, 0, None).replace(' ', "")[..8].to_owned()),
                OfError::MatchBadLength,
            );
            if u16::from(id.length) * 8 > u16::from(spec.bits) {
                refused(&format!("{before}{}", oxm(id, 1 << spec.bits, None)), OfError::MatchBadValue);
            }
            if spec.maskable {
                refused(&format!("{before}{}", oxm(id, 3, Some(2))), OfError::MatchBadWildcards);
            } else if spec.bits > 1 {
                refused(&format!("{before}{}", oxm(id, 0, Some(1))), OfError::MatchBadMask);
            }
        }
    }
}

/// What is asked before a field is set: for a VLAN id, that there is a tag.
fn before_set(spec: &FieldSpec, kind: Kind) -> String {
    match spec.name {
        "vlan_vid" => "80000d04 1000 1000".into(),
        _ => prerequisite(spec.prerequisite, kind),
    }
}

#[test]
fn set_field_changes_its_bits_and_the_checksums_alone() {
    let mut world = World::new();
    for (spec, id) in numbered().filter(|(spec, _)| spec.writable) {
        let Place::Header { at, fixed, present } = place(spec.field) else { continue };
        for (kind, from) in at {
            let old = frame(kind);
            let value = bits(&old, from, spec.bits.into());
            for changed in [!value & spec.full_mask(), value ^ 1 << (spec.bits / 2), 0, spec.full_mask()] {
                let changed = changed & !fixed;
                world.clear();
                world.add(&flow(&before_set(spec, kind), &[set(id, changed | present), output(2)]));
                let wanted = with(kind, from, spec, fixed, changed);
                let given = world.pass(1, &old);
                assert_eq!(given, [(2, wanted)], "{} of {kind:?} set to {changed:#x}", spec.name);
            }
        }
    }
    assert_eq!(world.switch.mismatches(), 0);
}

#[test]
fn what_set_field_may_not_say_is_refused() {
    let mut world = World::new();
    for (spec, id) in numbered() {
        let kind = match place(spec.field) {
            Place::Header { at, .. } => at[0].0,
            _ => Kind::Udp6,
        };
        let before = before_set(spec, kind);
        let mut refused = |before: &str, field: &str, error: OfError| {
            let given = world.refused(&flow(before, &[element(25, field)]).bytes());
            assert_eq!(given, error, "{}: {before} {field}", spec.name);
        };
        let one = oxm(id, 0, None);
        // The input port can be set by Nicira's actions alone.
        if !spec.writable || spec.name == "in_port" {
            refused(&before, &one, OfError::ActionBadSetType);
            continue;
        }
        let one = if spec.name == "vlan_vid" { oxm(id, 0x1000, None) } else { one };
        if !before.is_empty() {
            refused("", &one, OfError::ActionMatchInconsistent);
            refused("80000a02 88cc", &one, OfError::ActionMatchInconsistent);
        }
        refused(&before, &oxm(OxmId { length: id.length + 1, ..id }, 0, None), OfError::ActionBadSetLength);
        refused(&before, &oxm(id, 1, Some(1)), OfError::ActionBadSetMask);
        if u16::from(id.length) * 8 > u16::from(spec.bits) {
            refused(&before, &oxm(id, 1 << spec.bits, None), OfError::ActionBadSetArgument);
        }
    }
}
