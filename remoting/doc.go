// Package remoting carries frames between clients and servers over TCP: Server,
// Client and the Conn they share, the routes from request codes to handlers, and
// the lanes that bound how much of a kind is in work. It knows what a frame is,
// but no message, no store and no meaning of a code.
//
// # A wake-up
//
// netpoll wakes a connection when bytes have come. One wake-up takes all of them,
// cuts them into frames, decodes each header in place and runs the inline
// handlers, neighbouring frames of a batch route together. What is left of the
// last frame is kept aside. Answers made on the way collect in the connection's
// output, which is written once at the end. Requests of pooled lanes are copied
// and queued for the workers of the lane.
//
// Answers from other goroutines go to the same output; the first of them starts
// the connection's flusher, which lets the others run once before it writes, so
// that answers that become ready together leave in one system call.
//
// # Before and after
//
// Admissions (Routes.Admit) see each request as it came, before its header is decoded
// and its lane takes it, and may refuse or change it. Observers (Routes.Observe) are
// told what became of it when its answer leaves, now or late. Both are the same for
// requests handled alone in place, with their neighbours, by a worker, and for those
// of callers inside the process.
//
// # Callers inside the process
//
// A LocalServer serves the same routes without frames: Call brings a header struct to
// the route's handler in the goroutine of the caller and hands over the answer's
// header and views. Handlers know their caller as a Peer and cannot tell.
//
// # Goroutines
//
// netpoll's poller and its task pool call in here. A Server and a Client own one
// watchdog each (idle connections, input that piles up, overdue calls, queue
// ages); a Lane owns its workers from the first Start of a Server or Client that
// uses it to the last Shutdown; a connection has at most one flusher at a time,
// which ends when the output is empty.
//
// # Locks
//
// docs/LOCKS.md lists them. None of them is held while user code runs
// or while bytes are written.
//
// # What is bounded
//
// The size of a frame, the input that waits while a connection is busy, the
// output of a peer that does not read, the requests in work and in the queue of
// each lane, the calls to a peer without an answer, and the connections.
//
// # What it does not do
//
// It retries nothing, and it keeps no order between answers: they are matched by
// opaque. A half-closed peer is closed, as Netty does with its defaults. Write
// time limits run on the machine's clock, inside netpoll; all others on
// Options.Clock.
package remoting
