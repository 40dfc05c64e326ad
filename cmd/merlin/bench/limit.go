package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"sync"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// A record of the limit's log is its length, magic, the CRC of the body, some
// bytes where a broker has its other fields, the body and a topic's worth of
// bytes: as long as a stored message.
const (
	limitHead = 164
	limitTail = 12
)

// limit is a server that does the least: it reads a frame, takes the CRC of the
// body, copies it into a log that it writes over and over, and answers. Pulls are
// answered straight from the log.
type limit struct {
	limitOptions
	addr     string
	record   int           // bytes of a record
	stored   []byte        // the answer of every send but for its opaque
	opaqueAt int           // where that stands in stored
	flush    func()        // syncs the log; nil without -sync
	wake     chan struct{} // tells the syncer that somebody waits

	mu     sync.Mutex // guards log, count and synced; held for the copy of one body
	log    []byte     // readers of a pull do not lock: a record that is being overwritten may be torn
	count  int64      // records ever put
	synced int64      // records known to be on the disk
	done   *sync.Cond // synced has grown
}

// limitOptions are the flags of "merlin bench limit".
type limitOptions struct {
	listen, dir       string
	mib, size, queues int
	depth             int64
	sync, hot         bool
}

func runLimit(ctx context.Context, args []string, out, errOut io.Writer) error {
	var o limitOptions
	f := flag.NewFlagSet("merlin bench limit", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.listen, "listen", "127.0.0.1:10921", "address to serve on")
	f.StringVar(&o.dir, "dir", "", "directory for the log's file, which is allocated, mapped and left behind; without it the log is memory")
	f.IntVar(&o.mib, "log", 256, "MiB of the log, which is written over and over")
	f.BoolVar(&o.hot, "hot", false, "touch all pages of the log before the first message (a log in memory always is)")
	f.BoolVar(&o.sync, "sync", false, "answer a send when it is on the disk: one fdatasync for all that wait (needs -dir)")
	f.IntVar(&o.size, "size", 1024, "bytes of a body")
	f.IntVar(&o.queues, "queues", 8, "queues that share the log's records when they are pulled")
	f.Int64Var(&o.depth, "depth", 0, "messages of each queue that are there at the start")
	if err := f.Parse(args); err != nil {
		err = helpOf(f, err)
		if help := (*helpAsked)(nil); errors.As(err, &help) {
			_, err = io.WriteString(out, help.text)
			return err
		}
		return &UsageError{err}
	}
	if f.NArg() > 0 {
		return &UsageError{fmt.Errorf("bench: unexpected argument %q", f.Arg(0))}
	}
	if err := o.check(); err != nil {
		return &UsageError{err}
	}
	s := &limit{limitOptions: o, record: limitHead + o.size + limitTail, stored: storedAnswer()}
	s.opaqueAt = after(s.stored, `"opaque":`)
	s.done = sync.NewCond(&s.mu)
	if err := s.open(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	s.addr = l.Addr().String()
	fmt.Fprintf(out, "limit        %s\n", s.addr)
	s.serve(ctx, l)
	return nil
}

// storedAnswer is the answer of a send whose opaque has ten digits, as those of
// the bench have. All sends get the same queue offset.
func storedAnswer() []byte {
	return wire.AppendHead(nil, &wire.Outgoing{Opaque: firstOpaque, Flag: wire.FlagResponse, Version: version, Header: &header.SendMessageResponse{
		MsgID: wire.Some("7F00000100002AA90000000000000000"), QueueID: wire.Some(int32(0)), QueueOffset: wire.Some(int64(12345678)),
	}}, 0)
}

// check refuses flags that make no server.
func (o *limitOptions) check() error {
	switch {
	case o.mib < 16 || o.mib > 1<<16:
		return fmt.Errorf("bench: -log %d is not between 16 and 65536", o.mib)
	case o.size < 1 || o.size > 4<<20:
		return fmt.Errorf("bench: -size %d is not between 1 and 4194304", o.size)
	case o.queues < 1 || o.depth < 0:
		return errors.New("bench: -queues must be positive and -depth not negative")
	case o.sync && o.dir == "":
		return errors.New("bench: -sync needs a -dir")
	}
	return nil
}

// open makes the log and what is in it at the start.
func (s *limit) open() error {
	size := s.mib << 20
	if s.dir == "" {
		s.log, s.hot = make([]byte, size), true
	} else {
		log, flush, err := mapLog(s.dir, size)
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		s.log = log
		if s.sync {
			s.flush, s.wake = flush, make(chan struct{}, 1)
		}
	}
	if s.hot {
		for i := 0; i < size; i += 4096 {
			s.log[i] = 1 // the pages are there before the first message
		}
	}
	payload := make([]byte, s.size)
	for range s.depth * int64(s.queues) {
		s.put(payload)
	}
	return nil
}

// serve accepts until ctx ends, and ends with its connections.
func (s *limit) serve(ctx context.Context, l net.Listener) {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	if s.flush != nil {
		ended := make(chan struct{})
		go func() { defer close(ended); s.syncer() }()
		defer func() { close(s.wake); <-ended }()
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
			defer stop()
			defer nc.Close()
			s.handle(nc)
		})
	}
}

// syncer syncs the log as long as somebody waits, for all that do at a time.
func (s *limit) syncer() {
	for range s.wake {
		s.mu.Lock()
		upTo := s.count
		s.mu.Unlock()
		s.flush()
		s.mu.Lock()
		s.synced = upTo
		s.mu.Unlock()
		s.done.Broadcast()
	}
}

// await returns when the first n records are on the disk.
func (s *limit) await(n int64) {
	if s.flush == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.synced < n {
		select {
		case s.wake <- struct{}{}:
		default:
		}
		s.done.Wait()
	}
}

// session is what a connection answers with, kept so that a message costs no
// allocation.
type session struct {
	o    wire.Outgoing
	pull header.PullMessageResponse
	out  []byte      // answers of sends
	bufs net.Buffers // answers in their order, those of pulls with pieces of the log
	last int64       // number of the last record put
}

// handle answers one connection. Answers are written when no more requests are
// in the buffer.
func (s *limit) handle(nc net.Conn) {
	r := bufio.NewReaderSize(nc, readBuffer)
	var in []byte
	var err error
	w := &session{}
	for {
		if r.Buffered() == 0 || len(w.out) > readBuffer {
			s.await(w.last)
			if err := w.write(nc); err != nil {
				return
			}
		}
		if in, err = readFrame(r, in); err != nil {
			return
		}
		a, err := split(in)
		if err != nil {
			return
		}
		s.answer(w, a)
	}
}

// write sends what was answered: with one plain write unless there are pieces of
// the log in it.
func (w *session) write(nc net.Conn) (err error) {
	if len(w.bufs) > 0 {
		bufs := append(w.bufs, w.out)
		_, err = bufs.WriteTo(nc)
		w.bufs, w.out = w.bufs[:0], nil // the buffers may still point into it
		return err
	}
	if len(w.out) > 0 {
		_, err = nc.Write(w.out)
		w.out = w.out[:0]
	}
	return err
}

// answer appends the answer of one request.
func (s *limit) answer(w *session, a answer) {
	w.o = wire.Outgoing{Opaque: a.opaque, Flag: wire.FlagResponse, Version: version}
	o := &w.o
	var payload []byte
	switch a.code {
	case codeSend:
		if len(a.body) != s.size {
			o.Code, o.HasRemark, o.Remark = int32(protocol.MessageIllegal), true, "the limit serves bodies of -size bytes"
			break
		}
		w.last = s.put(a.body)
		if flag, _ := number(a.head, `"flag":`); int32(flag)&wire.FlagOneway != 0 {
			return
		}
		if a.opaque < firstOpaque {
			o.Code, o.HasRemark, o.Remark = int32(protocol.SystemError), true, "the limit answers to opaques of ten digits"
			break
		}
		at := len(w.out) + s.opaqueAt
		w.out = append(w.out, s.stored...)
		digits(w.out[at:at+10], uint64(a.opaque))
		return
	case codePull:
		s.pull(w, a)
		return
	case codeMaxOffset:
		o.Header = &header.GetMaxOffsetResponse{Offset: wire.Some(s.deep())}
	case codeCreateTopic:
	case codeRoute:
		text, err := body.Marshal(&body.TopicRouteData{BrokerDatas: []body.BrokerData{{BrokerAddrs: map[int64]string{0: s.addr}, BrokerName: "limit"}}})
		if err != nil {
			o.Code = 1
		}
		payload = text
	default:
		o.Code, o.HasRemark, o.Remark = 3, true, "the limit serves send, pull, max offset, create topic and route"
	}
	w.out = wire.AppendHead(w.out, o, len(payload))
	w.out = append(w.out, payload...)
}

// pull answers a pull with neighbouring records of the log.
func (s *limit) pull(w *session, a answer) {
	from, _ := number(a.head, `"queueOffset":"`)
	most, _ := number(a.head, `"maxMsgNums":"`)
	deep := s.deep()
	n := min(most, deep-from, int64(len(s.log)/s.record))
	w.o.Code = int32(protocol.PullNotFound)
	var found []byte
	if n > 0 && from >= 0 {
		w.o.Code = 0
		at := from * int64(s.queues) % max(min(deep*int64(s.queues), int64(len(s.log)/s.record))-n, 1) * int64(s.record)
		found = s.log[at : at+n*int64(s.record)]
	}
	w.pull = header.PullMessageResponse{SuggestWhichBrokerID: wire.Some(int64(0)), NextBeginOffset: wire.Some(from + max(n, 0)), MinOffset: wire.Some(int64(0)), MaxOffset: wire.Some(deep)}
	w.o.Header = &w.pull
	w.out = wire.AppendHead(w.out, &w.o, len(found))
	if len(found) > 0 {
		w.bufs = append(w.bufs, w.out, found)
		w.out = w.out[len(w.out):]
	}
}

// deep is how many messages each queue has.
func (s *limit) deep() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count / int64(s.queues)
}

// put takes the CRC of a body of the right size and copies it into the log. It
// gives the number of records with this one.
func (s *limit) put(b []byte) int64 {
	sum := crc32.ChecksumIEEE(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	places := len(s.log) / s.record
	rec := s.log[int(s.count%int64(places))*s.record:][:s.record]
	binary.BigEndian.PutUint32(rec, uint32(s.record))
	binary.BigEndian.PutUint32(rec[8:], sum)
	copy(rec[limitHead:], b)
	s.count++
	return s.count
}
