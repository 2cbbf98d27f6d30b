//! Errors of the protocol: one table of names, and of the numbers that each version has for them (OpenFlow 1.0.1 section 5.4.4
//! to OpenFlow 1.5.1 section 7.5.4; the Open Networking Foundation's extension package for 1.3; Nicira's extensions).
//!
//! An error that a version has no number for has one of an experimenter there, or none: then the peer is told by Nicira's number
//! that the error cannot be said. Names are those that Open vSwitch's clients print.

use crate::version::Version;

/// Error type of experimenters in OpenFlow 1.2 and later; the experimenter's id stands before the data.
pub const EXPERIMENTER_ERROR: u16 = 0xffff;
/// The Open Networking Foundation's experimenter id.
pub const ONF: u32 = 0x4f4e_4600;
/// Nicira's experimenter id.
pub const NICIRA: u32 = 0x0000_2320;

/// Error type by which Nicira's errors come in OpenFlow 1.0 and 1.1: id, type and code stand before the data.
const NICIRA_ERROR: u16 = 0xb0c2;

/// An error's number in some versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The experimenter's id; zero for the specification's own numbers.
    pub experimenter: u32,
    /// Type; [`EXPERIMENTER_ERROR`] for experimenters' in OpenFlow 1.2 and later.
    pub kind: u16,
    /// Code; the experimenter's own type in OpenFlow 1.2 and later.
    pub code: u16,
    first: u8,
    last: u8,
}

const fn number(experimenter: u32, first: u8, last: u8, kind: u16, code: u16) -> Number {
    Number { experimenter, kind, code, first, last }
}

const fn of(first: u8, last: u8, kind: u16, code: u16) -> Number {
    number(0, first, last, kind, code)
}

const fn onf(first: u8, last: u8, kind: u16, code: u16) -> Number {
    number(ONF, first, last, kind, code)
}

const fn nx(first: u8, last: u8, kind: u16, code: u16) -> Number {
    number(NICIRA, first, last, kind, code)
}

/// What OpenFlow 1.0 says in place of errors that it has no number for, where one of its own is near.
const INSTEAD: [(OfError, OfError); 9] = [
    (OfError::ActionUnsupportedOrder, OfError::FlowModUnsupported),
    (OfError::ActionBadTag, OfError::ActionBadArgument),
    (OfError::FlowModBadTimeout, OfError::FlowModBadEmergTimeout),
    (OfError::InstructionBadLength, OfError::ActionBadLength),
    (OfError::PortModBadConfig, OfError::RequestPermission),
    (OfError::RequestBadPacket, OfError::RequestBadLength),
    (OfError::RequestMultipartOverflow, OfError::RequestBadLength),
    (OfError::RoleStale, OfError::RequestPermission),
    (OfError::SwitchConfigBadFlags, OfError::RequestPermission),
];

macro_rules! errors {
    ($($variant:ident = $name:literal, $numbers:expr;)*) => {
        /// An error that a peer is told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum OfError { $(#[doc = concat!("`", $name, "`")] $variant,)* }

        impl OfError {
            /// Every error.
            pub const ALL: &[OfError] = &[$(OfError::$variant),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(OfError::$variant => $name,)* }
            }

            fn numbers(self) -> &'static [Number] {
                match self { $(OfError::$variant => const { &$numbers },)* }
            }
        }
    };
}

impl OfError {
    /// The error of this name.
    pub fn by_name(name: &str) -> Option<OfError> {
        Self::ALL.iter().copied().find(|error| error.name() == name)
    }

    /// Its number in a version; `None` where the version has none.
    pub fn number_in(self, version: Version) -> Option<Number> {
        let version = version as u8;
        self.numbers().iter().copied().find(|number| (number.first..=number.last).contains(&version))
    }

    /// Type and code in OpenFlow 1.3.
    pub fn number(self) -> (u16, u16) {
        self.wire(Version::V1_3).0
    }

    /// Type and code in a version, and what comes before the data: an experimenter's id, and in OpenFlow 1.0 and 1.1 Nicira's own
    /// number of an error that the version has not.
    pub fn wire(self, version: Version) -> ((u16, u16), Vec<u8>) {
        let instead = INSTEAD.iter().find(|row| row.0 == self && version == Version::V1_0).map(|row| row.1);
        let own = self.number_in(version).or_else(|| instead.and_then(|error| error.number_in(version)));
        let known = own.or_else(|| OfError::NxRequestUnencodableError.number_in(version));
        let Some(Number { experimenter, kind, code, .. }) = known else { return ((1, 0), Vec::new()) };
        if experimenter == 0 {
            return ((kind, code), Vec::new());
        }
        let mut data = experimenter.to_be_bytes().to_vec();
        if version >= Version::V1_2 {
            return ((EXPERIMENTER_ERROR, code), data);
        }
        data.extend(kind.to_be_bytes());
        data.extend(code.to_be_bytes());
        ((NICIRA_ERROR, 0), data)
    }

    /// The error that a type and code stand for in a version, and how much of the data is part of its number.
    pub fn of_wire(version: Version, (kind, code): (u16, u16), data: &[u8]) -> Option<(OfError, usize)> {
        let word = |at: usize| data.get(at..at + 2).map(|word| u16::from_be_bytes([word[0], word[1]]));
        let id = || Some(u32::from(word(0)?) << 16 | u32::from(word(2)?));
        let (experimenter, kind, code, used) = match kind {
            EXPERIMENTER_ERROR if version >= Version::V1_2 => (id()?, kind, code, 4),
            NICIRA_ERROR if version < Version::V1_2 => (id()?, word(4)?, word(6)?, 8),
            _ => (0, kind, code, 0),
        };
        let is = |error: &&OfError| {
            let number = error.number_in(version);
            number.is_some_and(|number| {
                (number.experimenter, number.kind, number.code) == (experimenter, kind, code)
            })
        };
        Self::ALL.iter().find(is).map(|error| (*error, used))
    }
}

errors! {
    HelloIncompatible = "OFPHFC_INCOMPATIBLE", [of(1, 6, 0, 0)];
    HelloPermission = "OFPHFC_EPERM", [of(1, 6, 0, 1)];
    RequestBadVersion = "OFPBRC_BAD_VERSION", [of(1, 6, 1, 0)];
    RequestBadType = "OFPBRC_BAD_TYPE", [of(1, 6, 1, 1)];
    RequestBadMultipart = "OFPBRC_BAD_STAT", [of(1, 6, 1, 2)];
    RequestBadExperimenter = "OFPBRC_BAD_VENDOR", [of(1, 6, 1, 3)];
    RequestBadExperimenterType = "OFPBRC_BAD_SUBTYPE", [of(1, 6, 1, 4)];
    RequestPermission = "OFPBRC_EPERM", [of(1, 6, 1, 5)];
    RequestBadLength = "OFPBRC_BAD_LEN", [of(1, 6, 1, 6)];
    RequestBufferEmpty = "OFPBRC_BUFFER_EMPTY", [of(1, 6, 1, 7)];
    RequestBufferUnknown = "OFPBRC_BUFFER_UNKNOWN", [of(1, 6, 1, 8)];
    RequestBadTable = "OFPBRC_BAD_TABLE_ID", [nx(1, 1, 1, 512), of(2, 6, 1, 9)];
    RequestIsSlave = "OFPBRC_IS_SECONDARY", [of(1, 2, 1, 5), of(3, 6, 1, 10)];
    RequestBadPort = "OFPBRC_BAD_PORT", [nx(1, 2, 1, 514), of(3, 6, 1, 11)];
    RequestBadPacket = "OFPBRC_BAD_PACKET", [of(3, 6, 1, 12)];
    RequestMultipartOverflow = "OFPBRC_MULTIPART_BUFFER_OVERFLOW", [of(4, 6, 1, 13)];
    RequestMultipartRequestTimeout = "OFPBRC_MULTIPART_REQUEST_TIMEOUT", [onf(4, 4, 0xffff, 2640), of(5, 6, 1, 14)];
    RequestMultipartReplyTimeout = "OFPBRC_MULTIPART_REPLY_TIMEOUT", [onf(4, 4, 0xffff, 2641), of(5, 6, 1, 15)];
    RequestMultipartBadSched = "OFPBRC_MULTIPART_BAD_SCHED", [of(6, 6, 1, 16)];
    RequestPipelineFieldsOnly = "OFPBRC_PIPELINE_FIELDS_ONLY", [of(6, 6, 1, 17)];
    RequestUnknown = "OFPBRC_UNKNOWN", [of(6, 6, 1, 18)];
    NxRequestNxmInvalid = "NXBRC_NXM_INVALID", [nx(1, 2, 1, 256), nx(3, 6, 0xffff, 2)];
    NxRequestNxmBadType = "NXBRC_NXM_BAD_TYPE", [nx(1, 2, 1, 257), nx(3, 6, 0xffff, 3)];
    NxRequestMustBeZero = "NXBRC_MUST_BE_ZERO", [nx(1, 2, 1, 515), nx(3, 6, 0xffff, 4)];
    NxRequestBadReason = "NXBRC_BAD_REASON", [nx(1, 2, 1, 516), nx(3, 6, 0xffff, 5)];
    NxRequestFmBadEvent = "NXBRC_FM_BAD_EVENT", [nx(1, 2, 1, 520), nx(3, 6, 0xffff, 9)];
    NxRequestUnencodableError = "NXBRC_UNENCODABLE_ERROR", [nx(1, 2, 1, 521), nx(3, 6, 0xffff, 10)];
    ActionBadType = "OFPBAC_BAD_TYPE", [of(1, 6, 2, 0)];
    ActionBadLength = "OFPBAC_BAD_LEN", [of(1, 6, 2, 1)];
    ActionBadExperimenter = "OFPBAC_BAD_VENDOR", [of(1, 6, 2, 2)];
    ActionBadExperimenterType = "OFPBAC_BAD_VENDOR_TYPE", [of(1, 6, 2, 3)];
    ActionBadOutPort = "OFPBAC_BAD_OUT_PORT", [of(1, 6, 2, 4)];
    ActionBadArgument = "OFPBAC_BAD_ARGUMENT", [of(1, 6, 2, 5)];
    ActionPermission = "OFPBAC_EPERM", [of(1, 6, 2, 6)];
    ActionTooMany = "OFPBAC_TOO_MANY", [of(1, 6, 2, 7)];
    ActionBadQueue = "OFPBAC_BAD_QUEUE", [of(1, 6, 2, 8)];
    ActionBadOutGroup = "OFPBAC_BAD_OUT_GROUP", [nx(1, 1, 2, 9), of(2, 6, 2, 9)];
    ActionMatchInconsistent = "OFPBAC_MATCH_INCONSISTENT", [nx(1, 1, 1, 522), of(2, 6, 2, 10)];
    ActionUnsupportedOrder = "OFPBAC_UNSUPPORTED_ORDER", [of(2, 6, 2, 11)];
    ActionBadTag = "OFPBAC_BAD_TAG", [of(2, 6, 2, 12)];
    ActionBadSetType = "OFPBAC_BAD_SET_TYPE", [nx(1, 2, 1, 523), of(3, 6, 2, 13)];
    ActionBadSetLength = "OFPBAC_BAD_SET_LEN", [nx(1, 2, 1, 524), of(3, 6, 2, 14)];
    ActionBadSetArgument = "OFPBAC_BAD_SET_ARGUMENT", [nx(1, 2, 1, 525), of(3, 6, 2, 15)];
    ActionBadSetMask = "OFPBAC_BAD_SET_MASK", [onf(4, 5, 0xffff, 4250), of(6, 6, 2, 16)];
    ActionBadMeter = "OFPBAC_BAD_METER", [of(6, 6, 2, 17)];
    NxActionMustBeZero = "NXBAC_MUST_BE_ZERO", [nx(1, 2, 2, 256), nx(3, 6, 0xffff, 11)];
    NxActionBadConjunction = "NXBAC_BAD_CONJUNCTION", [nx(1, 2, 2, 526), nx(3, 6, 0xffff, 15)];
    NxActionBadHeaderType = "NXBAC_BAD_HEADER_TYPE", [nx(4, 6, 0xffff, 39)];
    NxActionUnknownEdProp = "NXBAC_UNKNOWN_ED_PROP", [nx(4, 6, 0xffff, 40)];
    NxActionBadEdProp = "NXBAC_BAD_ED_PROP", [nx(4, 6, 0xffff, 41)];
    NxActionCtDatapathSupport = "NXBAC_CT_DATAPATH_SUPPORT", [nx(1, 2, 1, 265), nx(3, 6, 0xffff, 42)];
    InstructionUnknown = "OFPBIC_UNKNOWN_INST", [of(2, 6, 3, 0)];
    InstructionUnsupported = "OFPBIC_UNSUP_INST", [nx(1, 1, 2, 257), of(2, 6, 3, 1)];
    InstructionBadTable = "OFPBIC_BAD_TABLE_ID", [of(2, 6, 3, 2)];
    InstructionUnsupportedMetadata = "OFPBIC_UNSUP_METADATA", [of(2, 6, 3, 3)];
    InstructionUnsupportedMetadataMask = "OFPBIC_UNSUP_METADATA_MASK", [of(2, 6, 3, 4)];
    InstructionBadExperimenter = "OFPBIC_BAD_EXPERIMENTER", [of(2, 6, 3, 5)];
    InstructionBadExperimenterType = "OFPBIC_BAD_EXP_TYPE", [of(2, 2, 3, 5), of(3, 6, 3, 6)];
    InstructionBadLength = "OFPBIC_BAD_LEN", [of(3, 6, 3, 7)];
    InstructionPermission = "OFPBIC_EPERM", [of(3, 6, 3, 8)];
    InstructionDuplicate = "OFPBIC_DUP_INST", [nx(2, 2, 3, 256), onf(3, 4, 0xffff, 2600), of(5, 6, 3, 9)];
    MatchBadType = "OFPBMC_BAD_TYPE", [of(2, 6, 4, 0)];
    MatchBadLength = "OFPBMC_BAD_LEN", [of(2, 6, 4, 1)];
    MatchBadTag = "OFPBMC_BAD_TAG", [of(2, 6, 4, 2)];
    MatchBadDlMask = "OFPBMC_BAD_DL_ADDR_MASK", [of(2, 6, 4, 3)];
    MatchBadNwMask = "OFPBMC_BAD_NW_ADDR_MASK", [of(2, 6, 4, 4)];
    MatchBadWildcards = "OFPBMC_BAD_WILDCARDS", [nx(1, 1, 1, 262), of(2, 6, 4, 5)];
    MatchBadField = "OFPBMC_BAD_FIELD", [nx(1, 1, 0, 263), of(2, 6, 4, 6)];
    MatchBadValue = "OFPBMC_BAD_VALUE", [nx(1, 1, 1, 258), of(2, 6, 4, 7)];
    MatchBadMask = "OFPBMC_BAD_MASK", [nx(1, 2, 1, 259), of(3, 6, 4, 8)];
    MatchBadPrerequisite = "OFPBMC_BAD_PREREQ", [nx(1, 2, 1, 260), of(3, 6, 4, 9)];
    MatchDuplicateField = "OFPBMC_DUP_FIELD", [nx(1, 2, 1, 261), of(3, 6, 4, 10)];
    MatchPermission = "OFPBMC_EPERM", [of(3, 6, 4, 11)];
    NxMatchCtDatapathSupport = "NXBMC_CT_DATAPATH_SUPPORT", [nx(1, 2, 1, 264), nx(3, 6, 0xffff, 43)];
    FlowModUnknown = "OFPFMFC_UNKNOWN", [of(2, 6, 5, 0)];
    FlowModTableFull = "OFPFMFC_TABLE_FULL", [of(1, 1, 3, 0), of(2, 6, 5, 1)];
    FlowModBadTable = "OFPFMFC_BAD_TABLE_ID", [of(2, 6, 5, 2)];
    FlowModOverlap = "OFPFMFC_OVERLAP", [of(1, 1, 3, 1), of(2, 6, 5, 3)];
    FlowModPermission = "OFPFMFC_EPERM", [of(1, 1, 3, 2), of(2, 6, 5, 4)];
    FlowModBadTimeout = "OFPFMFC_BAD_TIMEOUT", [of(2, 6, 5, 5)];
    FlowModBadEmergTimeout = "OFPFMFC_BAD_EMERG_TIMEOUT", [of(1, 1, 3, 3)];
    FlowModBadCommand = "OFPFMFC_BAD_COMMAND", [of(1, 1, 3, 4), of(2, 6, 5, 6)];
    FlowModBadFlags = "OFPFMFC_BAD_FLAGS", [nx(1, 1, 3, 258), nx(2, 2, 5, 258), of(3, 6, 5, 7)];
    FlowModCantSync = "OFPFMFC_CANT_SYNC", [of(5, 6, 5, 8)];
    FlowModBadPriority = "OFPFMFC_BAD_PRIORITY", [onf(4, 4, 0xffff, 2360), of(5, 6, 5, 9)];
    FlowModIsSync = "OFPFMFC_IS_SYNC", [of(5, 6, 5, 10)];
    FlowModUnsupported = "OFPFMFC_UNSUPPORTED", [of(1, 1, 3, 5)];
    NxFlowModHardware = "NXFMFC_HARDWARE", [nx(1, 2, 5, 256), nx(3, 6, 0xffff, 12)];
    NxFlowModBadTableId = "NXFMFC_BAD_TABLE_ID", [nx(1, 2, 5, 257), nx(3, 6, 0xffff, 13)];
    NxFlowModInvalidTlvField = "NXFMFC_INVALID_TLV_FIELD", [nx(1, 2, 1, 536), nx(3, 6, 0xffff, 37)];
    GroupModExists = "OFPGMFC_GROUP_EXISTS", [nx(1, 1, 6, 0), of(2, 6, 6, 0)];
    GroupModInvalid = "OFPGMFC_INVALID_GROUP", [nx(1, 1, 6, 1), of(2, 6, 6, 1)];
    GroupModWeightUnsupported = "OFPGMFC_WEIGHT_UNSUPPORTED", [nx(1, 1, 6, 2), of(2, 6, 6, 2)];
    GroupModOutOfGroups = "OFPGMFC_OUT_OF_GROUPS", [nx(1, 1, 6, 3), of(2, 6, 6, 3)];
    GroupModOutOfBuckets = "OFPGMFC_OUT_OF_BUCKETS", [nx(1, 1, 6, 4), of(2, 6, 6, 4)];
    GroupModChainingUnsupported = "OFPGMFC_CHAINING_UNSUPPORTED", [nx(1, 1, 6, 5), of(2, 6, 6, 5)];
    GroupModWatchUnsupported = "OFPGMFC_WATCH_UNSUPPORTED", [nx(1, 1, 6, 6), of(2, 6, 6, 6)];
    GroupModLoop = "OFPGMFC_LOOP", [nx(1, 1, 6, 7), of(2, 6, 6, 7)];
    GroupModUnknownGroup = "OFPGMFC_UNKNOWN_GROUP", [nx(1, 1, 6, 8), of(2, 6, 6, 8)];
    GroupModChainedGroup = "OFPGMFC_CHAINED_GROUP", [nx(1, 1, 6, 9), of(3, 6, 6, 9)];
    GroupModBadType = "OFPGMFC_BAD_TYPE", [nx(1, 1, 6, 10), of(3, 6, 6, 10)];
    GroupModBadCommand = "OFPGMFC_BAD_COMMAND", [nx(1, 1, 6, 11), of(3, 6, 6, 11)];
    GroupModBadBucket = "OFPGMFC_BAD_BUCKET", [nx(1, 1, 6, 12), of(3, 6, 6, 12)];
    GroupModBadWatch = "OFPGMFC_BAD_WATCH", [nx(1, 1, 6, 13), of(3, 6, 6, 13)];
    GroupModPermission = "OFPGMFC_EPERM", [nx(1, 1, 6, 14), of(3, 6, 6, 14)];
    GroupModUnknownBucket = "OFPGMFC_UNKNOWN_BUCKET", [nx(1, 1, 6, 15), of(6, 6, 6, 15)];
    GroupModBucketExists = "OFPGMFC_BUCKET_EXISTS", [nx(1, 1, 6, 16), of(6, 6, 6, 16)];
    PortModBadPort = "OFPPMFC_BAD_PORT", [of(1, 1, 4, 0), of(2, 6, 7, 0)];
    PortModBadAddress = "OFPPMFC_BAD_HW_ADDR", [of(1, 1, 4, 1), of(2, 6, 7, 1)];
    PortModBadConfig = "OFPPMFC_BAD_CONFIG", [of(2, 6, 7, 2)];
    PortModBadAdvertise = "OFPPMFC_BAD_ADVERTISE", [of(2, 6, 7, 3)];
    PortModPermission = "OFPPMFC_EPERM", [of(3, 6, 7, 4)];
    TableModBadTable = "OFPTMFC_BAD_TABLE", [of(2, 6, 8, 0)];
    TableModBadConfig = "OFPTMFC_BAD_CONFIG", [of(2, 6, 8, 1)];
    TableModPermission = "OFPTMFC_EPERM", [of(3, 6, 8, 2)];
    QueueBadPort = "OFPQOFC_BAD_PORT", [of(1, 1, 5, 0), of(2, 6, 9, 0)];
    QueueBadQueue = "OFPQOFC_BAD_QUEUE", [of(1, 1, 5, 1), of(2, 6, 9, 1)];
    QueuePermission = "OFPQOFC_EPERM", [of(1, 1, 5, 2), of(2, 6, 9, 2)];
    NxQueueQueueError = "NXQOFC_QUEUE_ERROR", [nx(5, 6, 0xffff, 23)];
    SwitchConfigBadFlags = "OFPSCFC_BAD_FLAGS", [of(2, 6, 10, 0)];
    SwitchConfigBadLength = "OFPSCFC_BAD_LEN", [of(2, 6, 10, 1)];
    SwitchConfigPermission = "OFPSCFC_EPERM", [of(3, 6, 10, 2)];
    RoleStale = "OFPRRFC_STALE", [of(3, 6, 11, 0)];
    RoleUnsupported = "OFPRRFC_UNSUP", [of(3, 6, 11, 1)];
    RoleBadRole = "OFPRRFC_BAD_ROLE", [nx(1, 2, 1, 513), of(3, 6, 11, 2)];
    RoleIdUnsup = "OFPRRFC_ID_UNSUP", [of(6, 6, 11, 3)];
    RoleIdInUse = "OFPRRFC_ID_IN_USE", [of(6, 6, 11, 4)];
    MeterModUnknown = "OFPMMFC_UNKNOWN", [of(4, 6, 12, 0)];
    MeterModExists = "OFPMMFC_METER_EXISTS", [of(4, 6, 12, 1)];
    MeterModInvalid = "OFPMMFC_INVALID_METER", [of(4, 6, 12, 2)];
    MeterModUnknownMeter = "OFPMMFC_UNKNOWN_METER", [of(4, 6, 12, 3)];
    MeterModBadCommand = "OFPMMFC_BAD_COMMAND", [of(4, 6, 12, 4)];
    MeterModBadFlags = "OFPMMFC_BAD_FLAGS", [of(4, 6, 12, 5)];
    MeterModBadRate = "OFPMMFC_BAD_RATE", [of(4, 6, 12, 6)];
    MeterModBadBurst = "OFPMMFC_BAD_BURST", [of(4, 6, 12, 7)];
    MeterModBadBand = "OFPMMFC_BAD_BAND", [of(4, 6, 12, 8)];
    MeterModBadBandValue = "OFPMMFC_BAD_BAND_VALUE", [of(4, 6, 12, 9)];
    MeterModOutOfMeters = "OFPMMFC_OUT_OF_METERS", [of(4, 6, 12, 10)];
    MeterModOutOfBands = "OFPMMFC_OUT_OF_BANDS", [of(4, 6, 12, 11)];
    TableFeaturesBadTable = "OFPTFFC_BAD_TABLE", [of(4, 6, 13, 0)];
    TableFeaturesBadMetadata = "OFPTFFC_BAD_METADATA", [of(4, 6, 13, 1)];
    TableFeaturesPermission = "OFPTFFC_EPERM", [of(4, 6, 13, 5)];
    TableFeaturesBadCapa = "OFPTFFC_BAD_CAPA", [of(6, 6, 13, 6)];
    TableFeaturesBadMaxEnt = "OFPTFFC_BAD_MAX_ENT", [of(6, 6, 13, 7)];
    TableFeaturesBadFeatures = "OFPTFFC_BAD_FEATURES", [of(6, 6, 13, 8)];
    TableFeaturesBadCommand = "OFPTFFC_BAD_COMMAND", [of(6, 6, 13, 9)];
    TableFeaturesTooMany = "OFPTFFC_TOO_MANY", [of(6, 6, 13, 10)];
    NxTableFeaturesDupTable = "NXTFFC_DUP_TABLE", [nx(4, 6, 0xffff, 44)];
    PropertyBadType = "OFPBPC_BAD_TYPE", [nx(1, 2, 13, 2), nx(3, 3, 0xffff, 25), of(4, 4, 13, 2), of(5, 6, 14, 0)];
    PropertyBadLen = "OFPBPC_BAD_LEN", [nx(1, 2, 13, 3), nx(3, 3, 0xffff, 26), of(4, 4, 13, 3), of(5, 6, 14, 1)];
    PropertyBadValue = "OFPBPC_BAD_VALUE", [nx(1, 2, 13, 4), nx(3, 3, 0xffff, 27), of(4, 4, 13, 4), of(5, 6, 14, 2)];
    PropertyTooMany = "OFPBPC_TOO_MANY", [nx(1, 2, 14, 3), nx(3, 3, 0xffff, 28), onf(4, 4, 0xffff, 4443), of(5, 6, 14, 3)];
    PropertyDupType = "OFPBPC_DUP_TYPE", [nx(1, 2, 14, 4), nx(3, 3, 0xffff, 29), onf(4, 4, 0xffff, 4444), of(5, 6, 14, 4)];
    PropertyBadExperimenter = "OFPBPC_BAD_EXPERIMENTER", [nx(1, 2, 14, 5), nx(3, 3, 0xffff, 30), onf(4, 4, 0xffff, 4445), of(5, 6, 14, 5)];
    PropertyBadExpType = "OFPBPC_BAD_EXP_TYPE", [nx(1, 2, 14, 6), nx(3, 3, 0xffff, 31), onf(4, 4, 0xffff, 4446), of(5, 6, 14, 6)];
    PropertyBadExpValue = "OFPBPC_BAD_EXP_VALUE", [nx(1, 2, 14, 7), nx(3, 3, 0xffff, 32), onf(4, 4, 0xffff, 4447), of(5, 6, 14, 7)];
    PropertyEperm = "OFPBPC_EPERM", [nx(1, 2, 14, 8), nx(3, 3, 0xffff, 33), onf(4, 4, 0xffff, 4448), of(5, 6, 14, 8)];
    AsyncInvalid = "OFPACFC_INVALID", [onf(4, 4, 0xffff, 2370), of(5, 6, 15, 0)];
    AsyncUnsupported = "OFPACFC_UNSUPPORTED", [onf(4, 4, 0xffff, 2371), of(5, 6, 15, 1)];
    AsyncEperm = "OFPACFC_EPERM", [onf(4, 4, 0xffff, 2372), of(5, 6, 15, 2)];
    BundleUnknown = "OFPBFC_UNKNOWN", [onf(4, 4, 0xffff, 2300), of(5, 6, 17, 0)];
    BundleEperm = "OFPBFC_EPERM", [onf(4, 4, 0xffff, 2301), of(5, 6, 17, 1)];
    BundleBadId = "OFPBFC_BAD_ID", [onf(4, 4, 0xffff, 2302), of(5, 6, 17, 2)];
    BundleBundleExist = "OFPBFC_BUNDLE_EXIST", [onf(4, 4, 0xffff, 2303), of(5, 6, 17, 3)];
    BundleBundleClosed = "OFPBFC_BUNDLE_CLOSED", [onf(4, 4, 0xffff, 2304), of(5, 6, 17, 4)];
    BundleOutOfBundles = "OFPBFC_OUT_OF_BUNDLES", [onf(4, 4, 0xffff, 2305), of(5, 6, 17, 5)];
    BundleBadType = "OFPBFC_BAD_TYPE", [onf(4, 4, 0xffff, 2306), of(5, 6, 17, 6)];
    BundleBadFlags = "OFPBFC_BAD_FLAGS", [onf(4, 4, 0xffff, 2307), of(5, 6, 17, 7)];
    BundleMsgBadLen = "OFPBFC_MSG_BAD_LEN", [onf(4, 4, 0xffff, 2308), of(5, 6, 17, 8)];
    BundleMsgBadXid = "OFPBFC_MSG_BAD_XID", [onf(4, 4, 0xffff, 2309), of(5, 6, 17, 9)];
    BundleMsgUnsup = "OFPBFC_MSG_UNSUP", [onf(4, 4, 0xffff, 2310), of(5, 6, 17, 10)];
    BundleMsgConflict = "OFPBFC_MSG_CONFLICT", [onf(4, 4, 0xffff, 2311), of(5, 6, 17, 11)];
    BundleMsgTooMany = "OFPBFC_MSG_TOO_MANY", [onf(4, 4, 0xffff, 2312), of(5, 6, 17, 12)];
    BundleMsgFailed = "OFPBFC_MSG_FAILED", [onf(4, 4, 0xffff, 2313), of(5, 6, 17, 13)];
    BundleTimeout = "OFPBFC_TIMEOUT", [onf(4, 4, 0xffff, 2314), of(5, 6, 17, 14)];
    BundleBundleInProgress = "OFPBFC_BUNDLE_IN_PROGRESS", [onf(4, 4, 0xffff, 2315), of(5, 6, 17, 15)];
    BundleSchedNotSupported = "OFPBFC_SCHED_NOT_SUPPORTED", [of(6, 6, 17, 16)];
    BundleSchedFuture = "OFPBFC_SCHED_FUTURE", [of(6, 6, 17, 17)];
    BundleSchedPast = "OFPBFC_SCHED_PAST", [of(6, 6, 17, 18)];
    BundleBadVersion = "OFPBFC_BAD_VERSION", [nx(5, 6, 0xffff, 22)];
    MonitorUnknown = "OFPMOFC_UNKNOWN", [of(5, 6, 16, 0)];
    MonitorMonitorExists = "OFPMOFC_MONITOR_EXISTS", [nx(1, 2, 1, 517), nx(3, 4, 0xffff, 6), of(5, 6, 16, 1)];
    MonitorInvalidMonitor = "OFPMOFC_INVALID_MONITOR", [of(5, 6, 16, 2)];
    MonitorUnknownMonitor = "OFPMOFC_UNKNOWN_MONITOR", [nx(1, 2, 1, 519), nx(3, 4, 0xffff, 8), of(5, 6, 16, 3)];
    MonitorBadCommand = "OFPMOFC_BAD_COMMAND", [of(5, 6, 16, 4)];
    MonitorBadFlags = "OFPMOFC_BAD_FLAGS", [nx(1, 2, 1, 518), nx(3, 4, 0xffff, 7), of(5, 6, 16, 5)];
    MonitorBadTableId = "OFPMOFC_BAD_TABLE_ID", [of(5, 6, 16, 6)];
    MonitorBadOut = "OFPMOFC_BAD_OUT", [of(5, 6, 16, 7)];
    TlvTableBadCommand = "NXTTMFC_BAD_COMMAND", [nx(1, 2, 1, 527), nx(3, 6, 0xffff, 16)];
    TlvTableBadOptLen = "NXTTMFC_BAD_OPT_LEN", [nx(1, 2, 1, 528), nx(3, 6, 0xffff, 17)];
    TlvTableBadFieldIdx = "NXTTMFC_BAD_FIELD_IDX", [nx(1, 2, 1, 529), nx(3, 6, 0xffff, 18)];
    TlvTableTableFull = "NXTTMFC_TABLE_FULL", [nx(1, 2, 1, 530), nx(3, 6, 0xffff, 19)];
    TlvTableAlreadyMapped = "NXTTMFC_ALREADY_MAPPED", [nx(1, 2, 1, 531), nx(3, 6, 0xffff, 20)];
    TlvTableDupEntry = "NXTTMFC_DUP_ENTRY", [nx(1, 2, 1, 532), nx(3, 6, 0xffff, 21)];
    TlvTableInvalidTlvDel = "NXTTMFC_INVALID_TLV_DEL", [nx(1, 2, 1, 537), nx(3, 6, 0xffff, 38)];
    ResumeNotSupported = "NXR_NOT_SUPPORTED", [nx(1, 2, 1, 533), nx(3, 6, 0xffff, 34)];
    ResumeStale = "NXR_STALE", [nx(1, 2, 1, 534), nx(3, 6, 0xffff, 35)];
    StatisticsNotConfigured = "NXST_NOT_CONFIGURED", [nx(1, 2, 1, 535), nx(3, 6, 0xffff, 36)];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_errors() {
        for version in Version::ALL.iter().copied() {
            for error in OfError::ALL.iter().copied().filter(|error| error.number_in(version).is_some()) {
                let (number, data) = error.wire(version);
                let (back, used) = OfError::of_wire(version, number, &data).expect("it is known");
                // Where two errors have one number, the first stands for both.
                assert_eq!(back.wire(version), (number, data.clone()), "{error:?}");
                assert_eq!(used, data.len(), "{error:?}");
            }
        }
    }

    #[test]
    fn an_error_without_a_number_is_told_as_such() {
        let unencodable = OfError::NxRequestUnencodableError.wire(Version::V1_0);
        assert_eq!(OfError::InstructionDuplicate.wire(Version::V1_0), unencodable);
        assert_eq!(OfError::InstructionDuplicate.wire(Version::V1_3).0, (EXPERIMENTER_ERROR, 2600));
        assert_eq!(OfError::InstructionDuplicate.wire(Version::V1_4), ((3, 9), Vec::new()));
    }
}
