package commitlog

import "sync/atomic"

// markEvery is less than the smallest record has bytes: no two records begin in the
// same place of marks.
const markEvery = 64

// marks remember which records of a piece of the log have been checked.
type marks []atomic.Uint64

// newMarks makes marks for a piece of n bytes.
func newMarks(n int64) marks { return make(marks, (n/markEvery+64)/64) }

// has says whether the record that begins at byte in of the piece is marked.
func (m marks) has(in int64) bool {
	i := in / markEvery
	return m[i/64].Load()>>(i%64)&1 == 1
}

// set marks the record that begins at byte in of the piece.
func (m marks) set(in int64) {
	i := in / markEvery
	m[i/64].Or(1 << (i % 64))
}

// clear takes all marks away. REQUIRES: nobody else uses them.
func (m marks) clear() {
	for i := range m {
		m[i].Store(0)
	}
}
