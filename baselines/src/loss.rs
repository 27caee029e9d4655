//! Everything that happened and was not recorded has a reason here. Nothing is lost silently.

/// Why an observation is missing or incomplete.
///
/// The words are the recording's and the documents' vocabulary; they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The kernel's table of behaviours was full: new behaviours were counted here and not recorded.
    MapFull,
    /// The container had used up its share of the table of behaviours.
    KeyQuota,
    /// The kernel's table of cgroups was full: nothing of such a cgroup could be recorded.
    CgroupTableFull,
    /// The kernel's table of processes was full: executables and provenance had to be guessed.
    ProcessTableFull,
    /// The kernel's table of executables was full.
    ImageTableFull,
    /// The ring buffer was full when a behaviour was new, and it never happened again: counted, but never described.
    Undescribed,
    /// A record of the ring buffer did not have the shape that this version writes.
    Decode,
    /// The file, socket or address could not be read when the call returned (another thread closed it, or took its page).
    Raced,
    /// A behaviour came from a cgroup that no container could be found for.
    UnresolvedCgroup,
    /// No pod that the cluster told of has this container: its behaviours are nobody's. Where one namespace is learned they
    /// are not in the recording, else under a name that says nothing.
    UnresolvedContainer,
    /// A program's script, its ELF interpreter or its overlay layer could not be found out, so opens may be missing; or a
    /// path was too long, and its head is missing.
    UnresolvedPath,
    /// The kernel skipped runs of the probes (its own recursion or preemption guard).
    ProbeMissed,
    /// A call used an entry that this backend cannot follow (a 32-bit system call on a 64-bit kernel).
    ForeignAbi,
    /// `io_uring` was set up or used: what it opens and connects shows in no system call, so this backend cannot see it.
    IoUring,
    /// A process left the recorded cgroup for one that is not recorded: what it does there is not seen.
    LeftCgroup,
    /// More threads were connecting at the same time than the kernel's table for that holds.
    ConnectTableFull,
    /// The arguments of an execution could not be read.
    ArgumentsUnread,
    /// What a process entered a container to do could not be told from what the kubelet does there: it counts as entered.
    CommandUntold,
    /// A `sendmmsg(2)` had more messages with addresses than are looked at.
    BatchCut,
    /// A datagram to a Unix socket that it names itself: which one that is, system calls do not tell.
    UnixDatagram,
    /// A file was opened by a call that shows no descriptor of it (`mq_open`, `ioctl(TIOCGPTPEER)`, fanotify, `swapon`,
    /// `acct`), or by the kernel for a core dump.
    UnseenOpen,
    /// An import: the source left events out, because there were more than it may write.
    SourceRateLimit,
    /// An import: the source stopped reporting the executions of a cgroup for a while. Counts how often, not how many.
    SourceThrottled,
    /// An import: lines that are no events, or a source that could not be read to its end.
    SourceUnreadable,
    /// An import: events in a time that had been imported before, and that were not among those.
    SourceOverlap,
    /// The recording had the size that it was allowed, and the observation would have made it larger.
    RecordingFull,
}

impl Reason {
    /// Every reason, in the order of documents.
    pub const ALL: [Self; 26] = [
        Self::MapFull,
        Self::KeyQuota,
        Self::CgroupTableFull,
        Self::ProcessTableFull,
        Self::ImageTableFull,
        Self::Undescribed,
        Self::Decode,
        Self::Raced,
        Self::UnresolvedCgroup,
        Self::UnresolvedContainer,
        Self::UnresolvedPath,
        Self::ProbeMissed,
        Self::ForeignAbi,
        Self::IoUring,
        Self::LeftCgroup,
        Self::ConnectTableFull,
        Self::ArgumentsUnread,
        Self::CommandUntold,
        Self::BatchCut,
        Self::UnixDatagram,
        Self::UnseenOpen,
        Self::SourceRateLimit,
        Self::SourceThrottled,
        Self::SourceUnreadable,
        Self::SourceOverlap,
        Self::RecordingFull,
    ];

    /// The word used in recordings, documents and columns.
    pub const fn word(self) -> &'static str {
        match self {
            Self::MapFull => "map_full",
            Self::KeyQuota => "key_quota",
            Self::CgroupTableFull => "cgroup_table_full",
            Self::ProcessTableFull => "process_table_full",
            Self::ImageTableFull => "image_table_full",
            Self::Undescribed => "undescribed",
            Self::Decode => "decode",
            Self::Raced => "raced",
            Self::UnresolvedCgroup => "unresolved_cgroup",
            Self::UnresolvedContainer => "unresolved_container",
            Self::UnresolvedPath => "unresolved_path",
            Self::ProbeMissed => "probe_missed",
            Self::ForeignAbi => "foreign_abi",
            Self::IoUring => "io_uring",
            Self::LeftCgroup => "left_cgroup",
            Self::ConnectTableFull => "connect_table_full",
            Self::ArgumentsUnread => "arguments_unread",
            Self::CommandUntold => "command_untold",
            Self::BatchCut => "batch_cut",
            Self::UnixDatagram => "unix_datagram",
            Self::UnseenOpen => "unseen_open",
            Self::SourceRateLimit => "source_rate_limit",
            Self::SourceThrottled => "source_throttled",
            Self::SourceUnreadable => "source_unreadable",
            Self::SourceOverlap => "source_overlap",
            Self::RecordingFull => "recording_full",
        }
    }

    /// The inverse of [`Reason::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }
}

/// A word that is no reason known to this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no reason for a loss that this version knows")]
pub struct ReasonError(String);

impl std::str::FromStr for Reason {
    type Err = ReasonError;
    fn from_str(word: &str) -> Result<Self, ReasonError> {
        Self::from_word(word).ok_or_else(|| ReasonError(word.to_owned()))
    }
}

crate::serde_text::as_text!(Reason);

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_its_word() {
        for reason in Reason::ALL {
            assert_eq!(reason.word().parse(), Ok(reason));
        }
        assert!("bad_luck".parse::<Reason>().is_err());
    }
}
