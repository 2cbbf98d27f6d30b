//! What must hold for any bytes, for property tests and fuzzers alike: nothing panics, and what is parsed and written
//! again is the same.

use crate::arp::{ArpRepr, ArpView};
use crate::checksum::{complete, finish_partial, verify_transport};
use crate::ethernet::{EthernetRepr, EthernetView, MplsRepr, MplsView, VlanRepr, VlanView};
use crate::icmp::{IcmpRepr, IcmpView};
use crate::icmpv6::{Icmpv6Repr, Icmpv6View};
use crate::ipv4::{Ipv4Repr, Ipv4View};
use crate::ipv6::{Ipv6Repr, Ipv6View, MAX_EXTENSIONS};
use crate::locate::headers;
use crate::packet::{GsoType, Packet};
use crate::segment::Segmenter;
use crate::transport::{SctpRepr, SctpView, TcpRepr, TcpView, UdpRepr, UdpView};
use crate::vnet;

/// Parses, emits and parses again; `$tail` is what must follow the header for the view to be whole.
macro_rules! round_trip {
    ($data:expr, $view:ident, $repr:ident, $tail:expr) => {
        if let Ok(view) = $view::new($data)
            && let Ok(repr) = $repr::parse(&view)
        {
            let tail: usize = $tail(&view);
            let mut out = vec![0xa5; repr.buffer_len() + tail];
            assert_eq!(repr.emit(&mut out), Ok(()));
            let again = $view::new(&out).expect("what was emitted is a whole header");
            assert_eq!($repr::parse(&again), Ok(repr));
            let short = repr.buffer_len() - 1;
            assert!(repr.emit(&mut out[..short]).is_err());
        }
    };
}

/// Reads `data` as every format.
///
/// # Panics
/// If what must hold does not.
pub fn packet(data: &[u8]) {
    round_trip!(data, EthernetView, EthernetRepr, |_: &EthernetView<'_>| 0);
    round_trip!(data, VlanView, VlanRepr, |_: &VlanView<'_>| 0);
    round_trip!(data, MplsView, MplsRepr, |_: &MplsView<'_>| 0);
    round_trip!(data, ArpView, ArpRepr, |_: &ArpView<'_>| 0);
    round_trip!(data, Ipv4View, Ipv4Repr, |view: &Ipv4View<'_>| view.payload().len());
    round_trip!(data, Ipv6View, Ipv6Repr, |view: &Ipv6View<'_>| view.payload().len());
    round_trip!(data, IcmpView, IcmpRepr, |_: &IcmpView<'_>| 0);
    round_trip!(data, Icmpv6View, Icmpv6Repr, |_: &Icmpv6View<'_>| 0);
    round_trip!(data, TcpView, TcpRepr, |_: &TcpView<'_>| 0);
    round_trip!(data, UdpView, UdpRepr, |view: &UdpView<'_>| view.payload().len());
    round_trip!(data, SctpView, SctpRepr, |_: &SctpView<'_>| 0);
    if let Ok(view) = EthernetView::new(data) {
        let _ = view.ether_type();
    }
    if let Ok(view) = Icmpv6View::new(data) {
        let _ = view.nd_target();
    }
    if let Ok(view) = Ipv6View::new(data)
        && let Ok(walk) = view.walk()
    {
        assert!(walk.offset <= view.payload().len() && walk.offset <= (MAX_EXTENSIONS + 1) * 2048);
    }
    if let Some(at) = headers(data) {
        assert!(at.l3 < at.l4 && at.l4 <= data.len());
    }
    let mut frame = data.to_vec();
    let verified = verify_transport(&frame);
    if complete(&mut frame) {
        assert_eq!(verify_transport(&frame), Some(true));
        assert!(verified.is_none() || frame.len() == data.len());
    }
}

/// Takes the first 12 bytes of `data` as the offload header of the rest, and does what it asks for.
///
/// # Panics
/// If what must hold does not.
pub fn vnet(data: &[u8]) {
    let Some((header, frame)) = data.split_first_chunk::<{ vnet::HEADER_LEN }>() else { return };
    let Ok(offload) = vnet::parse(header, frame) else { return };
    assert_eq!(vnet::parse(&vnet::emit(&offload), frame), Ok(offload));
    let mut packet = Packet::from_frame(frame);
    packet.offload = offload;
    if offload.gso == GsoType::None {
        return finish_partial(&mut packet);
    }
    let mut segmenter = Segmenter::new(&packet).expect("an accepted header describes the frame");
    let mut piece = Packet::with_capacity(frame.len());
    let (mut count, mut total) = (0, 0);
    while segmenter.next_into(&mut piece) {
        count += 1;
        total += piece.len() - usize::from(offload.header_len);
        assert_eq!(verify_transport(piece.data()), Some(true));
    }
    assert_eq!(count, packet.wire_packets());
    assert_eq!(total, frame.len() - usize::from(offload.header_len));
}

/// Gives a property every file of a target's corpus, which includes the inputs that once broke it.
///
/// # Panics
/// If the corpus cannot be read or is empty, or the property does not hold.
pub fn replay(corpus: &str, property: impl Fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the corpus can be listed").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    for path in paths {
        let bytes = std::fs::read(&path).expect("the corpus can be read");
        let holds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| property(&bytes)));
        assert!(holds.is_ok(), "the property does not hold for {}", path.display());
    }
}
