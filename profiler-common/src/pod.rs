//! Reading and writing wire types as bytes.

/// Plain old data.
///
/// # Safety
/// The type is `repr(C)`, has no padding bytes, holds no pointer or reference, and every bit pattern is a valid value.
pub unsafe trait Pod: Copy + 'static {}

// SAFETY: integers are plain old data.
unsafe impl Pod for u8 {}
// SAFETY: integers are plain old data.
unsafe impl Pod for u32 {}
// SAFETY: integers are plain old data.
unsafe impl Pod for u64 {}

/// A value whose bytes are all zero.
pub const fn zeroed<T: Pod>() -> T {
    // SAFETY: every bit pattern is a valid value of a `Pod` type.
    unsafe { core::mem::zeroed() }
}

/// The bytes of a value.
pub fn bytes_of<T: Pod>(value: &T) -> &[u8] {
    // SAFETY: a `Pod` type has no padding, so all its bytes are initialised.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The value at the start of `bytes`, or `None` if there are too few.
pub fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: the length was checked, the read is unaligned, and every bit pattern is a valid value of a `Pod` type.
    Some(unsafe { core::ptr::read_unaligned(bytes.as_ptr().cast()) })
}

/// Copies between types of the same size: the object of a key is one of three things.
///
/// A mismatch of sizes does not compile.
pub fn cast<From: Pod, To: Pod>(value: From) -> To {
    const { assert!(size_of::<From>() == size_of::<To>()) };
    // SAFETY: the sizes are equal, and every bit pattern is a valid value of a `Pod` type.
    unsafe { core::mem::transmute_copy(&value) }
}

// SAFETY: an array of plain old data is plain old data.
unsafe impl<T: Pod, const N: usize> Pod for [T; N] {}
