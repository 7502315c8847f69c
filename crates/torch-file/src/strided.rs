//! Elements that lie apart, brought into row-major order.

/// Copies a tensor out of the part of its storage that it spans, which begins with its first element.
///
/// `size` is that of an element in bytes; the caller has checked that every element lies in `span`.
pub fn gather(span: &[u8], size: usize, shape: &[u64], strides: &[u64]) -> Option<Vec<u8>> {
    let numel = shape.iter().product::<u64>() as usize;
    let mut gathered = Vec::with_capacity(numel * size);
    let mut index = vec![0; shape.len()];
    let mut place = 0;
    for _ in 0..numel {
        let begin = place as usize * size;
        gathered.extend_from_slice(span.get(begin..begin + size)?);
        place = advance(&mut index, shape, strides, place);
    }
    Some(gathered)
}

/// The place of the element behind the one at `index`, which moves on.
fn advance(index: &mut [u64], shape: &[u64], strides: &[u64], mut place: u64) -> u64 {
    for axis in (0..shape.len()).rev() {
        index[axis] += 1;
        if index[axis] < shape[axis] {
            return place + strides[axis];
        }
        place -= (shape[axis] - 1) * strides[axis];
        index[axis] = 0;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::gather;

    #[test]
    fn rows_columns_and_repetitions() {
        let bytes: Vec<u8> = (0..12).collect();
        assert_eq!(gather(&bytes, 1, &[3, 4], &[4, 1]).unwrap(), bytes);
        assert_eq!(gather(&bytes, 1, &[4, 3], &[1, 4]).unwrap(), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
        assert_eq!(gather(&bytes[..4], 2, &[3, 2], &[0, 1]).unwrap(), [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(gather(&bytes[..2], 2, &[], &[]).unwrap(), [0, 1]);
        assert_eq!(gather(&bytes, 2, &[2, 0], &[1, 1]).unwrap(), []);
        assert_eq!(gather(&bytes[..5], 1, &[2, 2], &[4, 1]), None);
    }
}
