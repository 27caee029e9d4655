//! What a node tells of its recording, so that the coverage of a cluster can be estimated: packed by a process that looks, and
//! unpacked by the agent that adds up.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use baselines::analysis::{self, ImageSummary};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// The most that a node's summary takes, compressed: etcd takes objects of 1.5 MiB, and there may be thousands.
const BYTES_MAX: usize = 256 << 10;
/// The most that it takes once it is not compressed any more. Summaries say the same again and again, and whoever wants to fill our
/// memory would send such a one.
const RAW_BYTES_MAX: usize = 8 << 20;
/// How many images that are left out are named.
const NAMES_MAX: usize = 20;

/// What a node tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// How many images the recording saw.
    pub images: u64,
    /// Of these, how many are not in the summary.
    pub left_out: u64,
    /// They, by name, the first of them.
    pub left_out_names: Vec<String>,
    /// See [`unpack`].
    pub summary: ByteString,
}

/// What the recording has to tell.
///
/// # Errors
/// Where it cannot be analysed.
pub fn of_recording(recording: &Path) -> Result<Told, Failure> {
    let (summaries, left_out) = analysis::summaries(&[recording.to_owned()])?;
    let mut left_out: Vec<String> = left_out.iter().map(ToString::to_string).collect();
    let images = summaries.len() + left_out.len();
    let packed = pack(summaries, &mut left_out);
    let summary = packed.map_err(|error| Failure::Kernel(format!("a summary of coverage: {error}")))?;
    Ok(Told {
        images: images as u64,
        left_out: left_out.len() as u64,
        left_out_names: left_out.into_iter().take(NAMES_MAX).collect(),
        summary: ByteString(summary),
    })
}

/// As many as fit, the small ones first; the names of the others are added.
pub(crate) fn pack(summaries: Vec<ImageSummary>, left_out: &mut Vec<String>) -> io::Result<Vec<u8>> {
    let mut texts = Vec::new();
    for summary in summaries {
        texts.push((serde_json::to_vec(&summary)?, summary.image));
    }
    texts.sort_by_key(|(text, _)| text.len());
    let mut raw = 2;
    let fits = texts.iter().take_while(|(text, _)| {
        raw += text.len() + 1;
        raw <= RAW_BYTES_MAX
    });
    let mut count = fits.count();
    loop {
        let (kept, others) = texts.split_at_checked(count).unwrap_or((&texts, &[]));
        let packed = compress(kept.iter().map(|(text, _)| text.as_slice()))?;
        if packed.len() <= BYTES_MAX || count == 0 {
            left_out.extend(others.iter().map(|(_, image)| image.clone()));
            return Ok(packed);
        }
        count /= 2;
    }
}

/// A list as JSON, of texts that are JSON.
fn compress<'a>(texts: impl Iterator<Item = &'a [u8]>) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let mut before: &[u8] = b"[";
    for text in texts {
        encoder.write_all(before)?;
        encoder.write_all(text)?;
        before = b",";
    }
    if before == b"[" {
        encoder.write_all(before)?;
    }
    encoder.write_all(b"]")?;
    encoder.finish()
}

/// The summaries that a node told.
///
/// # Errors
/// What is wrong with them, in words.
pub fn unpack(summary: &[u8]) -> Result<Vec<ImageSummary>, String> {
    let mut raw = Vec::new();
    let bound = RAW_BYTES_MAX as u64 + 1;
    let read = GzDecoder::new(summary).take(bound).read_to_end(&mut raw);
    read.map_err(|error| format!("it cannot be unpacked: {error}"))?;
    if raw.len() > RAW_BYTES_MAX {
        return Err(format!("it is larger than {} MiB", RAW_BYTES_MAX >> 20));
    }
    serde_json::from_slice(&raw).map_err(|error| format!("it cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use baselines::analysis::{Group, SeenBehaviour};
    use baselines::coverage::Losses;

    use super::*;

    /// Keys as random as hashes are.
    fn summary(image: &str, behaviours: u64) -> ImageSummary {
        let key = |number: u64| (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
        let seen = |number| SeenBehaviour {
            key: key(number),
            starts: vec![(0, 1)],
            steady: vec![(0, 20_000, [4, 2, 1])],
        };
        ImageSummary {
            image: image.to_owned(),
            losses: Losses::RuledOut,
            until: 1_795_000_000,
            resumed: None,
            jobs: false,
            short: false,
            partial_alone: 0,
            groups: vec![Group {
                workload: Some(key(7)),
                started: 1_794_000_000,
                whole: 1,
                over: 0,
                days: vec![(20_000, [288, 144, 72])],
            }],
            behaviours: (0..behaviours).map(seen).collect(),
        }
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        for images in [vec![], vec![summary("a", 3)], vec![summary("a", 3), summary("b", 0)]] {
            let mut left_out = Vec::new();
            let packed = pack(images.clone(), &mut left_out).unwrap();
            let mut unpacked = unpack(&packed).unwrap();
            unpacked.sort_by(|one, other| one.image.cmp(&other.image));
            assert_eq!((unpacked, left_out), (images, Vec::new()));
        }
    }

    #[test]
    fn large_ones_are_left_out_by_name() {
        let many = (0..40).map(|image| summary(&format!("large-{image}"), 4_000));
        let images: Vec<ImageSummary> = many.chain([summary("small", 3)]).collect();
        let mut left_out = Vec::new();
        let packed = pack(images, &mut left_out).unwrap();
        assert!(packed.len() <= BYTES_MAX, "{}", packed.len());
        let kept = unpack(&packed).unwrap();
        assert!(kept.iter().any(|kept| kept.image == "small"));
        assert_eq!(kept.len() + left_out.len(), 41);
        assert!(left_out.iter().all(|image| image.starts_with("large")), "{left_out:?}");
    }

    #[test]
    fn what_others_send_is_read_as_far_as_it_may_go() {
        let bomb = compress([vec![b' '; RAW_BYTES_MAX + 10].as_slice()].into_iter()).unwrap();
        assert!(bomb.len() < 100_000);
        let good = pack(vec![summary("a", 3)], &mut Vec::new()).unwrap();
        let cases = [
            (bomb, "larger than 8 MiB"),
            (good[..good.len() / 2].to_vec(), "cannot be unpacked"),
            (b"[]".to_vec(), "cannot be unpacked"),
            (
                compress([&b"{}"[..]].into_iter()).unwrap(),
                "cannot be read: missing field",
            ),
        ];
        for (bytes, reason) in cases {
            let why = unpack(&bytes).unwrap_err();
            assert!(why.contains(reason), "{why}");
        }
    }
}
