//! Errors of the protocol: one table of types, codes and names (OpenFlow 1.3.5 section 7.4.4).
//!
//! Two errors that OpenFlow 1.4 and 1.5 name have no number of their own in 1.3. The Open Networking Foundation's
//! extension package for 1.3 gives them one as experimenter errors, which is how Open vSwitch sends them too.

use crate::message::NICIRA;
use crate::version::Version;

/// Error type of experimenters, whose id stands before the data.
pub const EXPERIMENTER_ERROR: u16 = 0xffff;
/// The Open Networking Foundation's experimenter id.
pub const ONF: u32 = 0x4f4e_4600;

/// Error type by which Nicira's errors come in OpenFlow 1.0.
const NICIRA_ERROR: u16 = 0xb0c2;

/// An error's number in OpenFlow 1.0.
#[derive(Clone, Copy)]
enum Number {
    /// The version's own.
    Own(u16, u16),
    /// Nicira's.
    Nicira(u16, u16),
}

macro_rules! errors {
    ($($variant:ident = $kind:literal, $code:literal, $name:literal;)*) => {
        /// An error that a peer is told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum OfError { $(#[doc = concat!("`", $name, "`")] $variant,)* }

        impl OfError {
            /// Every error.
            pub const ALL: &[OfError] = &[$(OfError::$variant),*];

            /// Type and code on the wire.
            pub fn number(self) -> (u16, u16) {
                match self { $(OfError::$variant => ($kind, $code),)* }
            }

            /// Type and code in a version, and what comes before the data: an experimenter's id, and in OpenFlow 1.0 Nicira's
            /// own number of an error that the version has not.
            pub fn wire(self, version: Version) -> ((u16, u16), Vec<u8>) {
                if version == Version::V1_3 {
                    let id = self.experimenter().map_or_else(Vec::new, |id| id.to_be_bytes().to_vec());
                    return (self.number(), id);
                }
                let number = V1_0.iter().find(|row| row.0 == self).map(|row| row.1);
                match number.unwrap_or(Number::Nicira(1, 523)) {
                    Number::Own(kind, code) => ((kind, code), Vec::new()),
                    Number::Nicira(kind, code) => {
                        let mut data = NICIRA.to_be_bytes().to_vec();
                        data.extend(kind.to_be_bytes());
                        data.extend(code.to_be_bytes());
                        ((NICIRA_ERROR, 0), data)
                    }
                }
            }

            /// Whose error it is where its type is that of experimenters; the id goes before the data.
            pub fn experimenter(self) -> Option<u32> {
                (self.number().0 == EXPERIMENTER_ERROR).then_some(ONF)
            }

            /// The specification's name.
            pub fn name(self) -> &'static str {
                match self { $(OfError::$variant => $name,)* }
            }
        }
    };
}

errors! {
    HelloIncompatible = 0, 0, "OFPHFC_INCOMPATIBLE";
    HelloPermission = 0, 1, "OFPHFC_EPERM";
    RequestBadVersion = 1, 0, "OFPBRC_BAD_VERSION";
    RequestBadType = 1, 1, "OFPBRC_BAD_TYPE";
    RequestBadMultipart = 1, 2, "OFPBRC_BAD_MULTIPART";
    RequestBadExperimenter = 1, 3, "OFPBRC_BAD_EXPERIMENTER";
    RequestBadExperimenterType = 1, 4, "OFPBRC_BAD_EXP_TYPE";
    RequestPermission = 1, 5, "OFPBRC_EPERM";
    RequestBadLength = 1, 6, "OFPBRC_BAD_LEN";
    RequestBufferEmpty = 1, 7, "OFPBRC_BUFFER_EMPTY";
    RequestBufferUnknown = 1, 8, "OFPBRC_BUFFER_UNKNOWN";
    RequestBadTable = 1, 9, "OFPBRC_BAD_TABLE_ID";
    RequestIsSlave = 1, 10, "OFPBRC_IS_SLAVE";
    RequestBadPort = 1, 11, "OFPBRC_BAD_PORT";
    RequestBadPacket = 1, 12, "OFPBRC_BAD_PACKET";
    RequestMultipartOverflow = 1, 13, "OFPBRC_MULTIPART_BUFFER_OVERFLOW";
    ActionBadType = 2, 0, "OFPBAC_BAD_TYPE";
    ActionBadLength = 2, 1, "OFPBAC_BAD_LEN";
    ActionBadExperimenter = 2, 2, "OFPBAC_BAD_EXPERIMENTER";
    ActionBadExperimenterType = 2, 3, "OFPBAC_BAD_EXP_TYPE";
    ActionBadOutPort = 2, 4, "OFPBAC_BAD_OUT_PORT";
    ActionBadArgument = 2, 5, "OFPBAC_BAD_ARGUMENT";
    ActionPermission = 2, 6, "OFPBAC_EPERM";
    ActionTooMany = 2, 7, "OFPBAC_TOO_MANY";
    ActionBadQueue = 2, 8, "OFPBAC_BAD_QUEUE";
    ActionBadOutGroup = 2, 9, "OFPBAC_BAD_OUT_GROUP";
    ActionMatchInconsistent = 2, 10, "OFPBAC_MATCH_INCONSISTENT";
    ActionUnsupportedOrder = 2, 11, "OFPBAC_UNSUPPORTED_ORDER";
    ActionBadTag = 2, 12, "OFPBAC_BAD_TAG";
    ActionBadSetType = 2, 13, "OFPBAC_BAD_SET_TYPE";
    ActionBadSetLength = 2, 14, "OFPBAC_BAD_SET_LEN";
    ActionBadSetArgument = 2, 15, "OFPBAC_BAD_SET_ARGUMENT";
    ActionBadSetMask = 0xffff, 4250, "OFPBAC_BAD_SET_MASK";
    InstructionUnknown = 3, 0, "OFPBIC_UNKNOWN_INST";
    InstructionUnsupported = 3, 1, "OFPBIC_UNSUP_INST";
    InstructionBadTable = 3, 2, "OFPBIC_BAD_TABLE_ID";
    InstructionUnsupportedMetadata = 3, 3, "OFPBIC_UNSUP_METADATA";
    InstructionUnsupportedMetadataMask = 3, 4, "OFPBIC_UNSUP_METADATA_MASK";
    InstructionBadExperimenter = 3, 5, "OFPBIC_BAD_EXPERIMENTER";
    InstructionBadExperimenterType = 3, 6, "OFPBIC_BAD_EXP_TYPE";
    InstructionBadLength = 3, 7, "OFPBIC_BAD_LEN";
    InstructionPermission = 3, 8, "OFPBIC_EPERM";
    InstructionDuplicate = 0xffff, 2600, "OFPBIC_DUP_INST";
    MatchBadType = 4, 0, "OFPBMC_BAD_TYPE";
    MatchBadLength = 4, 1, "OFPBMC_BAD_LEN";
    MatchBadTag = 4, 2, "OFPBMC_BAD_TAG";
    MatchBadDlMask = 4, 3, "OFPBMC_BAD_DL_ADDR_MASK";
    MatchBadNwMask = 4, 4, "OFPBMC_BAD_NW_ADDR_MASK";
    MatchBadWildcards = 4, 5, "OFPBMC_BAD_WILDCARDS";
    MatchBadField = 4, 6, "OFPBMC_BAD_FIELD";
    MatchBadValue = 4, 7, "OFPBMC_BAD_VALUE";
    MatchBadMask = 4, 8, "OFPBMC_BAD_MASK";
    MatchBadPrerequisite = 4, 9, "OFPBMC_BAD_PREREQ";
    MatchDuplicateField = 4, 10, "OFPBMC_DUP_FIELD";
    MatchPermission = 4, 11, "OFPBMC_EPERM";
    FlowModUnknown = 5, 0, "OFPFMFC_UNKNOWN";
    FlowModTableFull = 5, 1, "OFPFMFC_TABLE_FULL";
    FlowModBadTable = 5, 2, "OFPFMFC_BAD_TABLE_ID";
    FlowModOverlap = 5, 3, "OFPFMFC_OVERLAP";
    FlowModPermission = 5, 4, "OFPFMFC_EPERM";
    FlowModBadTimeout = 5, 5, "OFPFMFC_BAD_TIMEOUT";
    FlowModBadCommand = 5, 6, "OFPFMFC_BAD_COMMAND";
    FlowModBadFlags = 5, 7, "OFPFMFC_BAD_FLAGS";
    GroupModExists = 6, 0, "OFPGMFC_GROUP_EXISTS";
    GroupModInvalid = 6, 1, "OFPGMFC_INVALID_GROUP";
    GroupModWeightUnsupported = 6, 2, "OFPGMFC_WEIGHT_UNSUPPORTED";
    GroupModOutOfGroups = 6, 3, "OFPGMFC_OUT_OF_GROUPS";
    GroupModOutOfBuckets = 6, 4, "OFPGMFC_OUT_OF_BUCKETS";
    GroupModChainingUnsupported = 6, 5, "OFPGMFC_CHAINING_UNSUPPORTED";
    GroupModWatchUnsupported = 6, 6, "OFPGMFC_WATCH_UNSUPPORTED";
    GroupModLoop = 6, 7, "OFPGMFC_LOOP";
    GroupModUnknownGroup = 6, 8, "OFPGMFC_UNKNOWN_GROUP";
    GroupModChainedGroup = 6, 9, "OFPGMFC_CHAINED_GROUP";
    GroupModBadType = 6, 10, "OFPGMFC_BAD_TYPE";
    GroupModBadCommand = 6, 11, "OFPGMFC_BAD_COMMAND";
    GroupModBadBucket = 6, 12, "OFPGMFC_BAD_BUCKET";
    GroupModBadWatch = 6, 13, "OFPGMFC_BAD_WATCH";
    GroupModPermission = 6, 14, "OFPGMFC_EPERM";
    PortModBadPort = 7, 0, "OFPPMFC_BAD_PORT";
    PortModBadAddress = 7, 1, "OFPPMFC_BAD_HW_ADDR";
    PortModBadConfig = 7, 2, "OFPPMFC_BAD_CONFIG";
    PortModBadAdvertise = 7, 3, "OFPPMFC_BAD_ADVERTISE";
    PortModPermission = 7, 4, "OFPPMFC_EPERM";
    TableModBadTable = 8, 0, "OFPTMFC_BAD_TABLE";
    TableModBadConfig = 8, 1, "OFPTMFC_BAD_CONFIG";
    TableModPermission = 8, 2, "OFPTMFC_EPERM";
    QueueBadPort = 9, 0, "OFPQOFC_BAD_PORT";
    QueueBadQueue = 9, 1, "OFPQOFC_BAD_QUEUE";
    QueuePermission = 9, 2, "OFPQOFC_EPERM";
    SwitchConfigBadFlags = 10, 0, "OFPSCFC_BAD_FLAGS";
    SwitchConfigBadLength = 10, 1, "OFPSCFC_BAD_LEN";
    SwitchConfigPermission = 10, 2, "OFPSCFC_EPERM";
    RoleStale = 11, 0, "OFPRRFC_STALE";
    RoleUnsupported = 11, 1, "OFPRRFC_UNSUP";
    RoleBadRole = 11, 2, "OFPRRFC_BAD_ROLE";
    MeterModUnknown = 12, 0, "OFPMMFC_UNKNOWN";
    MeterModExists = 12, 1, "OFPMMFC_METER_EXISTS";
    MeterModInvalid = 12, 2, "OFPMMFC_INVALID_METER";
    MeterModUnknownMeter = 12, 3, "OFPMMFC_UNKNOWN_METER";
    MeterModBadCommand = 12, 4, "OFPMMFC_BAD_COMMAND";
    MeterModBadFlags = 12, 5, "OFPMMFC_BAD_FLAGS";
    MeterModBadRate = 12, 6, "OFPMMFC_BAD_RATE";
    MeterModBadBurst = 12, 7, "OFPMMFC_BAD_BURST";
    MeterModBadBand = 12, 8, "OFPMMFC_BAD_BAND";
    MeterModBadBandValue = 12, 9, "OFPMMFC_BAD_BAND_VALUE";
    MeterModOutOfMeters = 12, 10, "OFPMMFC_OUT_OF_METERS";
    MeterModOutOfBands = 12, 11, "OFPMMFC_OUT_OF_BANDS";
    TableFeaturesBadTable = 13, 0, "OFPTFFC_BAD_TABLE";
    TableFeaturesBadMetadata = 13, 1, "OFPTFFC_BAD_METADATA";
    TableFeaturesBadType = 13, 2, "OFPTFFC_BAD_TYPE";
    TableFeaturesBadLength = 13, 3, "OFPTFFC_BAD_LEN";
    TableFeaturesBadArgument = 13, 4, "OFPTFFC_BAD_ARGUMENT";
    TableFeaturesPermission = 13, 5, "OFPTFFC_EPERM";
    BundleUnknown = 0xffff, 2300, "OFPBFC_UNKNOWN";
    BundleEperm = 0xffff, 2301, "OFPBFC_EPERM";
    BundleBadId = 0xffff, 2302, "OFPBFC_BAD_ID";
    BundleBundleExist = 0xffff, 2303, "OFPBFC_BUNDLE_EXIST";
    BundleBundleClosed = 0xffff, 2304, "OFPBFC_BUNDLE_CLOSED";
    BundleOutOfBundles = 0xffff, 2305, "OFPBFC_OUT_OF_BUNDLES";
    BundleBadType = 0xffff, 2306, "OFPBFC_BAD_TYPE";
    BundleBadFlags = 0xffff, 2307, "OFPBFC_BAD_FLAGS";
    BundleMsgBadLen = 0xffff, 2308, "OFPBFC_MSG_BAD_LEN";
    BundleMsgBadXid = 0xffff, 2309, "OFPBFC_MSG_BAD_XID";
    BundleMsgUnsup = 0xffff, 2310, "OFPBFC_MSG_UNSUP";
    BundleMsgConflict = 0xffff, 2311, "OFPBFC_MSG_CONFLICT";
    BundleMsgTooMany = 0xffff, 2312, "OFPBFC_MSG_TOO_MANY";
    BundleMsgFailed = 0xffff, 2313, "OFPBFC_MSG_FAILED";
    BundleTimeout = 0xffff, 2314, "OFPBFC_TIMEOUT";
    BundleBundleInProgress = 0xffff, 2315, "OFPBFC_BUNDLE_IN_PROGRESS";
}

/// What errors are in OpenFlow 1.0. Some that it has not are another there; the others have Nicira's numbers.
const V1_0: &[(OfError, Number)] = &[
    (OfError::HelloIncompatible, Number::Own(0, 0)),
    (OfError::HelloPermission, Number::Own(0, 1)),
    (OfError::RequestBadVersion, Number::Own(1, 0)),
    (OfError::RequestBadType, Number::Own(1, 1)),
    (OfError::RequestBadMultipart, Number::Own(1, 2)),
    (OfError::RequestBadExperimenter, Number::Own(1, 3)),
    (OfError::RequestBadExperimenterType, Number::Own(1, 4)),
    (OfError::RequestPermission, Number::Own(1, 5)),
    (OfError::RequestBadLength, Number::Own(1, 6)),
    (OfError::RequestBufferEmpty, Number::Own(1, 7)),
    (OfError::RequestBufferUnknown, Number::Own(1, 8)),
    (OfError::RequestBadTable, Number::Nicira(1, 512)),
    (OfError::RequestIsSlave, Number::Own(1, 5)),
    (OfError::RequestBadPort, Number::Nicira(1, 514)),
    (OfError::RequestBadPacket, Number::Own(1, 6)),
    (OfError::RequestMultipartOverflow, Number::Own(1, 6)),
    (OfError::ActionBadType, Number::Own(2, 0)),
    (OfError::ActionBadLength, Number::Own(2, 1)),
    (OfError::ActionBadExperimenter, Number::Own(2, 2)),
    (OfError::ActionBadExperimenterType, Number::Own(2, 3)),
    (OfError::ActionBadOutPort, Number::Own(2, 4)),
    (OfError::ActionBadArgument, Number::Own(2, 5)),
    (OfError::ActionPermission, Number::Own(2, 6)),
    (OfError::ActionTooMany, Number::Own(2, 7)),
    (OfError::ActionBadQueue, Number::Own(2, 8)),
    (OfError::ActionBadOutGroup, Number::Nicira(2, 9)),
    (OfError::ActionMatchInconsistent, Number::Nicira(1, 522)),
    (OfError::ActionUnsupportedOrder, Number::Own(3, 5)),
    (OfError::ActionBadTag, Number::Own(2, 5)),
    (OfError::ActionBadSetType, Number::Nicira(1, 523)),
    (OfError::ActionBadSetLength, Number::Nicira(1, 524)),
    (OfError::ActionBadSetArgument, Number::Nicira(1, 525)),
    (OfError::ActionBadSetMask, Number::Nicira(1, 259)),
    (OfError::InstructionBadLength, Number::Own(2, 1)),
    (OfError::InstructionUnsupported, Number::Nicira(2, 257)),
    (OfError::InstructionBadTable, Number::Nicira(1, 512)),
    (OfError::MatchBadLength, Number::Nicira(1, 256)),
    (OfError::MatchBadWildcards, Number::Nicira(1, 262)),
    (OfError::MatchBadField, Number::Nicira(0, 263)),
    (OfError::MatchBadValue, Number::Nicira(1, 258)),
    (OfError::MatchBadMask, Number::Nicira(1, 259)),
    (OfError::MatchBadPrerequisite, Number::Nicira(1, 260)),
    (OfError::MatchDuplicateField, Number::Nicira(1, 261)),
    (OfError::FlowModTableFull, Number::Own(3, 0)),
    (OfError::FlowModBadTable, Number::Nicira(1, 512)),
    (OfError::FlowModOverlap, Number::Own(3, 1)),
    (OfError::FlowModPermission, Number::Own(3, 2)),
    (OfError::FlowModBadTimeout, Number::Own(3, 3)),
    (OfError::FlowModBadCommand, Number::Own(3, 4)),
    (OfError::FlowModBadFlags, Number::Nicira(3, 258)),
    (OfError::FlowModUnknown, Number::Nicira(5, 256)),
    (OfError::PortModBadPort, Number::Own(4, 0)),
    (OfError::PortModBadAddress, Number::Own(4, 1)),
    (OfError::PortModBadConfig, Number::Own(1, 5)),
    (OfError::QueueBadPort, Number::Own(5, 0)),
    (OfError::QueueBadQueue, Number::Own(5, 1)),
    (OfError::QueuePermission, Number::Own(5, 2)),
    (OfError::RoleBadRole, Number::Nicira(1, 513)),
    (OfError::RoleStale, Number::Own(1, 5)),
    (OfError::SwitchConfigBadFlags, Number::Own(1, 5)),
];
