//! The checksum of a whole file, which is in it: what was cut, damaged or changed by another program is told before anything
//! of it is decoded.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write as _};

use sha2::{Digest as _, Sha256};

/// The name of the checksum in the metadata.
pub(super) const KEY: &str = "wardline.sha256";
/// What is in its place while it is computed.
pub(super) const PLACEHOLDER: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// More metadata than two million containers need: nobody has to hold more in memory.
const METADATA_MAX: u64 = 512 << 20;
/// How every file ends: the length of the metadata and four letters (<https://parquet.apache.org/docs/file-format/>).
const END: u64 = 8;
/// In the metadata a string begins with its length, in one byte if it is short (Thrift's compact protocol), and in a list of
/// pairs the value's field comes behind the key.
const BETWEEN: usize = 2;

/// Why a file is none of ours.
pub(super) type Wrong = &'static str;

/// Where the checksum is in a file.
///
/// # Errors
/// What the system says.
fn place(file: &mut File) -> io::Result<Result<u64, Wrong>> {
    let length = file.metadata()?.len();
    let Some(end) = length.checked_sub(END) else {
        return Ok(Err("it has been cut off"));
    };
    file.seek(SeekFrom::Start(end))?;
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    let [a, b, c, d, magic @ ..] = bytes;
    if magic != *b"PAR1" {
        return Ok(Err("it has been cut off, or was never finished"));
    }
    let metadata = u64::from(u32::from_le_bytes([a, b, c, d]));
    let Some(begin) = end.checked_sub(metadata).filter(|_| metadata <= METADATA_MAX) else {
        return Ok(Err("its metadata is damaged"));
    };
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = vec![0; usize::try_from(metadata).unwrap_or(0)];
    file.read_exact(&mut bytes)?;
    // The writer puts it at the end, behind names from outside that could look like it.
    let key = KEY.as_bytes();
    let found = bytes.windows(key.len()).rposition(|window| window == key);
    let Some(place) = found.map(|place| place + key.len() + BETWEEN) else {
        return Ok(Err("it was written by another program"));
    };
    let is_inside = place + PLACEHOLDER.len() <= bytes.len();
    Ok(if is_inside {
        Ok(begin + place as u64)
    } else {
        Err("its metadata is damaged")
    })
}

/// The checksum of a file, with the placeholder at this place in it.
fn compute(file: &mut File, place: u64) -> io::Result<String> {
    let mut hash = Sha256::new();
    file.rewind()?;
    add(&mut hash, Read::by_ref(file).take(place))?;
    hash.update(PLACEHOLDER);
    file.seek(SeekFrom::Start(place + PLACEHOLDER.len() as u64))?;
    add(&mut hash, file)?;
    let mut text = String::new();
    for byte in hash.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

fn add(hash: &mut Sha256, bytes: impl Read) -> io::Result<()> {
    let mut bytes = BufReader::with_capacity(1 << 16, bytes);
    loop {
        let buffer = bytes.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        hash.update(buffer);
        let length = buffer.len();
        bytes.consume(length);
    }
}

/// Puts the checksum into a file that was written with the placeholder.
///
/// # Errors
/// What the system says.
pub(super) fn seal(file: &mut File) -> io::Result<()> {
    let place = place(file)?.map_err(io::Error::other)?;
    let digest = compute(file, place)?;
    file.seek(SeekFrom::Start(place))?;
    file.write_all(digest.as_bytes())
}

/// Whether a file is as it was written.
///
/// # Errors
/// What the system says.
pub(super) fn verify(file: &mut File) -> io::Result<Result<(), Wrong>> {
    let place = match place(file)? {
        Ok(place) => place,
        Err(wrong) => return Ok(Err(wrong)),
    };
    file.seek(SeekFrom::Start(place))?;
    let mut digest = vec![0; PLACEHOLDER.len()];
    file.read_exact(&mut digest)?;
    let is_same = compute(file, place)?.as_bytes() == digest;
    Ok(is_same
        .then_some(())
        .ok_or("it is damaged, or was changed by another program"))
}
