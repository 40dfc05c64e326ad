package remoting

// stackRoom is more than what a handler needs of its goroutine's stack at most
// times.
const stackRoom = 7 << 10

// growStack makes room on the goroutine's stack in one step, while there is next
// to nothing on it to move. netpoll serves a wake-up in a fresh goroutine, whose
// stack would otherwise double three times on the way down to the disk, with all
// that is on it moved each time: 7 % of the time of a small send.
//
//go:noinline
func growStack(i int) byte {
	var room [stackRoom]byte
	room[i] = 1
	return room[i>>1]
}
