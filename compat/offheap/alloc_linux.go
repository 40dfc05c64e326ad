package offheap

import "syscall"

// mapped is the size from which memory is mapped; less is not worth a call.
const mapped = 64 << 10

func alloc(n int) []byte {
	if n < mapped {
		return make([]byte, n)
	}
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return make([]byte, n) // no more mappings: the heap has to do, Free leaves it alone
	}
	return b
}

func release(b []byte) {
	if cap(b) >= mapped {
		_ = syscall.Munmap(b[:cap(b)]) // it knows its own mappings and refuses others
	}
}
