package offheap

import "unsafe"

// Bytes gives n zeroed bytes. Pages take memory as they are written first.
func Bytes(n int) []byte { return alloc(n) }

// Free takes back what Bytes gave. Nobody may look at it afterwards.
func Free(b []byte) { release(b) }

// Int32s is Bytes for n numbers.
func Int32s(n int) []int32 {
	if n <= 0 {
		return nil
	}
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(alloc(n*4)))), n)
}

// FreeInt32s takes back what Int32s gave.
func FreeInt32s(s []int32) {
	if cap(s) > 0 {
		release(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), cap(s)*4))
	}
}
