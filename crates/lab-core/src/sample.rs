//! One scheduled request as the generator recorded it, and its 40-byte record on disk.
//!
//! Histograms and rates are derived from these afterwards, so that every figure can be recomputed.

use crate::{
    outcome::{Outcome, ServedBy},
    route::Route,
};

/// Bytes of one record in `samples.bin`.
pub const RECORD_BYTES: usize = 40;

/// The first bytes of `samples.bin`: a name and a version, as long as one record.
pub const FILE_HEADER: [u8; RECORD_BYTES] =
    *b"outage-lab/samples/1\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A record that does not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// The file does not begin with [`FILE_HEADER`].
    #[error("not a sample file of this version (bad header)")]
    BadHeader,
    /// A byte stands for no known outcome, route or source.
    #[error("unknown {what} code {code}")]
    UnknownCode {
        /// Which field.
        what: &'static str,
        /// The byte.
        code: u8,
    },
    /// The three times are out of order.
    #[error("times out of order in request {arrival}: intended <= sent <= completed does not hold")]
    OutOfOrder {
        /// Index of the arrival.
        arrival: u32,
    },
}

/// One scheduled request. All offsets are nanoseconds from the start of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestSample {
    /// Index of the arrival in the schedule of the trial, from 0.
    pub arrival: u32,
    /// Product or virtual user that the request is about.
    pub key: u32,
    /// The route really requested.
    pub route: Route,
    /// How it ended.
    pub outcome: Outcome,
    /// `x-served-by` of the response, when there was one.
    pub served_by: Option<ServedBy>,
    /// HTTP status, 0 when there was no response.
    pub status: u16,
    /// When the schedule said to send: computed, never read from a clock.
    pub intended_at_ns: u64,
    /// When the generator began to send; for `Unsent`, when it was abandoned.
    pub sent_at_ns: u64,
    /// When the whole body had been read, or the request was given up.
    pub completed_at_ns: u64,
}

impl RequestSample {
    /// Time the user waited: completed − intended, in nanoseconds.
    ///
    /// Counting from the intended send time keeps a stalled service from hiding its own stall
    /// (coordinated omission). **Source**: wrk2's README.
    pub fn response_time_ns(&self) -> u64 {
        self.completed_at_ns - self.intended_at_ns
    }

    /// Time the service took: completed − sent, in nanoseconds.
    pub fn service_time_ns(&self) -> u64 {
        self.completed_at_ns - self.sent_at_ns
    }

    /// How late the generator itself was: sent − intended, in nanoseconds.
    pub fn send_lag_ns(&self) -> u64 {
        self.sent_at_ns - self.intended_at_ns
    }

    /// The record as it stands in the file, little-endian.
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        record[0..8].copy_from_slice(&self.intended_at_ns.to_le_bytes());
        record[8..16].copy_from_slice(&self.sent_at_ns.to_le_bytes());
        record[16..24].copy_from_slice(&self.completed_at_ns.to_le_bytes());
        record[24..28].copy_from_slice(&self.arrival.to_le_bytes());
        record[28..32].copy_from_slice(&self.key.to_le_bytes());
        record[32..34].copy_from_slice(&self.status.to_le_bytes());
        record[34] = self.route.code();
        record[35] = self.outcome.code();
        record[36] = self.served_by.map_or(NOT_SERVED, ServedBy::code);
        record
    }

    /// Decodes one record. **Errors**: an unknown code, or times out of order.
    pub fn decode(record: &[u8; RECORD_BYTES]) -> Result<Self, SampleError> {
        let word = |at: usize| u64::from_le_bytes(slice(record, at));
        let half = |at: usize| u32::from_le_bytes(slice(record, at));
        let unknown = |what, code| SampleError::UnknownCode { what, code };
        let sample = Self {
            intended_at_ns: word(0),
            sent_at_ns: word(8),
            completed_at_ns: word(16),
            arrival: half(24),
            key: half(28),
            status: u16::from_le_bytes(slice(record, 32)),
            route: Route::from_code(record[34]).ok_or_else(|| unknown("route", record[34]))?,
            outcome: Outcome::from_code(record[35])
                .ok_or_else(|| unknown("outcome", record[35]))?,
            served_by: match record[36] {
                NOT_SERVED => None,
                code => {
                    Some(ServedBy::from_code(code).ok_or_else(|| unknown("x-served-by", code))?)
                }
            },
        };
        if sample.intended_at_ns <= sample.sent_at_ns && sample.sent_at_ns <= sample.completed_at_ns
        {
            Ok(sample)
        } else {
            Err(SampleError::OutOfOrder { arrival: sample.arrival })
        }
    }
}

/// Stands for "no response, so nothing served it".
const NOT_SERVED: u8 = u8::MAX;

fn slice<const N: usize>(record: &[u8; RECORD_BYTES], at: usize) -> [u8; N] {
    record[at..at + N].try_into().expect("the range has N bytes")
}

/// Decodes a whole file: header, then records. A last record cut short by a kill is dropped.
///
/// **Errors**: a foreign header or a record that does not decode.
pub fn decode_file(bytes: &[u8]) -> Result<Vec<RequestSample>, SampleError> {
    let records = bytes.strip_prefix(&FILE_HEADER).ok_or(SampleError::BadHeader)?;
    records.as_chunks::<RECORD_BYTES>().0.iter().map(RequestSample::decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> RequestSample {
        RequestSample {
            arrival: 70_000,
            key: 19_999,
            route: Route::Product,
            outcome: Outcome::Degraded,
            served_by: Some(ServedBy::Stale),
            status: 200,
            intended_at_ns: 5_000_000_000,
            sent_at_ns: 5_000_400_000,
            completed_at_ns: 5_020_400_000,
        }
    }

    #[test]
    fn a_record_survives_its_bytes() {
        assert_eq!(RequestSample::decode(&sample().encode()), Ok(sample()));
        let unserved = RequestSample { served_by: None, status: 0, ..sample() };
        assert_eq!(RequestSample::decode(&unserved.encode()), Ok(unserved));
    }

    // Worked by hand: sent 0.4 ms late, 20 ms of service, so the user waited 20.4 ms.
    #[test]
    fn the_three_times_give_three_durations() {
        assert_eq!(sample().send_lag_ns(), 400_000);
        assert_eq!(sample().service_time_ns(), 20_000_000);
        assert_eq!(sample().response_time_ns(), 20_400_000);
    }

    #[test]
    fn a_record_sent_before_it_was_due_is_refused() {
        let early = RequestSample { sent_at_ns: 4_999_999_999, ..sample() };
        assert_eq!(
            RequestSample::decode(&early.encode()),
            Err(SampleError::OutOfOrder { arrival: 70_000 })
        );
    }

    #[test]
    fn a_file_cut_short_keeps_its_whole_records() {
        let mut file = FILE_HEADER.to_vec();
        file.extend(sample().encode());
        file.extend(&sample().encode()[..17]);
        assert_eq!(decode_file(&file), Ok(vec![sample()]));
        assert_eq!(decode_file(&file[1..]), Err(SampleError::BadHeader));
    }
}
