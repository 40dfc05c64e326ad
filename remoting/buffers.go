package remoting

import (
	"math/bits"
	"sync"
)

const (
	// minBufBits and maxBufBits bound the buffers that are kept: 16 KiB to 512 KiB,
	// by powers of two. One long frame does not stay in memory for ever.
	minBufBits = 14
	maxBufBits = 19
)

// bufs lends the buffers of outputs and of incomplete frames.
var bufs [maxBufBits - minBufBits + 1]sync.Pool

// getBuf gives an empty buffer with room for n bytes.
func getBuf(n int) []byte {
	k := max(bits.Len(uint(max(n, 1)-1)), minBufBits)
	if k > maxBufBits {
		return make([]byte, 0, n)
	}
	if b, ok := bufs[k-minBufBits].Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 1<<k)
}

// putBuf takes a buffer back, into the class that it fills.
func putBuf(b []byte) {
	k := bits.Len(uint(cap(b))) - 1
	if k >= minBufBits && k <= maxBufBits {
		bufs[k-minBufBits].Put(&b)
	}
}

// growBuf gives b with room for n more bytes; when it had to move b goes back to
// the pool.
func growBuf(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	grown := append(getBuf(max(len(b)+n, 2*cap(b))), b...)
	putBuf(b)
	return grown
}
