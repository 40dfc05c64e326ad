package bench

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"sync"

	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

// limit is a server that does the least: it reads a frame, takes the CRC of the
// body, copies it into a log in memory that it writes over and over, and
// answers. Pulls are answered with the same records each time.
type limit struct {
	addr    string
	perPull int
	depth   int64 // messages that each queue seems to have
	batch   []byte

	mu  sync.Mutex // guards log and at
	log []byte
	at  int
}

func runLimit(ctx context.Context, args []string, out, errOut io.Writer) error {
	f := flag.NewFlagSet("merlin bench limit", flag.ContinueOnError)
	f.SetOutput(errOut)
	listen := f.String("listen", "127.0.0.1:10921", "address to serve on")
	mib := f.Int("log", 256, "MiB of the log")
	size := f.Int("size", 1024, "bytes of a body in the answers of pulls")
	perPull := f.Int("max", 32, "messages in the answer of a pull")
	depth := f.Int64("depth", 1_000_000, "messages that each queue seems to have")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("bench: unexpected argument %q", f.Arg(0))
	case *mib < 16 || *mib > 1<<16:
		return fmt.Errorf("bench: -log %d is not between 16 and 65536", *mib)
	case *size < 1 || *perPull < 1 || *depth < 1 || *size > 4<<20 || *perPull > 1024 || *size**perPull > 8<<20:
		return errors.New("bench: -size, -max and -depth must be positive, and an answer at most 8 MiB")
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	s := &limit{addr: l.Addr().String(), perPull: *perPull, depth: *depth, log: make([]byte, *mib<<20)}
	for i := 0; i < len(s.log); i += 4096 {
		s.log[i] = 1 // the pages are there before the first message
	}
	host := netip.MustParseAddrPort("127.0.0.1:10921")
	for range *perPull {
		if s.batch, err = message.Append(s.batch, &message.Message{Topic: "bench", Body: make([]byte, *size), BornHost: host, StoreHost: host}); err != nil {
			_ = l.Close()
			return err
		}
	}
	fmt.Fprintf(out, "limit        %s\n", s.addr)
	s.serve(ctx, l)
	return nil
}

// serve accepts until ctx ends, and ends with its connections.
func (s *limit) serve(ctx context.Context, l net.Listener) {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
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

// handle answers one connection. Answers are written when no more requests are
// in the buffer.
func (s *limit) handle(nc net.Conn) {
	r := bufio.NewReaderSize(nc, readBuffer)
	var in, out []byte
	var err error
	w := &writer{}
	for {
		if r.Buffered() == 0 || len(out) > readBuffer {
			if _, err := nc.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
		if in, err = readFrame(r, in); err != nil {
			return
		}
		a, err := split(in)
		if err != nil {
			return
		}
		out = s.answer(w, out, a)
	}
}

// writer is what a connection answers with, kept so that a message costs no
// allocation.
type writer struct {
	o    wire.Outgoing
	send header.SendMessageResponse
	pull header.PullMessageResponse
}

// answer appends the answer of one request.
func (s *limit) answer(w *writer, out []byte, a answer) []byte {
	w.o = wire.Outgoing{Opaque: a.opaque, Flag: wire.FlagResponse, Version: version}
	o := &w.o
	var payload []byte
	switch a.code {
	case codeSend:
		at := s.put(a.body)
		if flag, _ := number(a.head, `"flag":`); int32(flag)&wire.FlagOneway != 0 {
			return out
		}
		w.send = header.SendMessageResponse{MsgID: wire.Some("7F00000100002AA90000000000000000"), QueueID: wire.Some(int32(0)), QueueOffset: wire.Some(int64(at))}
		o.Header = &w.send
	case codePull:
		from, _ := number(a.head, `"queueOffset":"`)
		next := from + int64(s.perPull)
		if from < 0 || next > s.depth {
			o.Code, next = 19, from // PULL_NOT_FOUND
		} else {
			payload = s.batch
		}
		w.pull = header.PullMessageResponse{SuggestWhichBrokerID: wire.Some(int64(0)), NextBeginOffset: wire.Some(next), MinOffset: wire.Some(int64(0)), MaxOffset: wire.Some(s.depth)}
		o.Header = &w.pull
	case codeMaxOffset:
		o.Header = &header.GetMaxOffsetResponse{Offset: wire.Some(s.depth)}
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
	out = wire.AppendHead(out, o, len(payload))
	return append(out, payload...)
}

// put takes the CRC and copies a body into the log.
func (s *limit) put(b []byte) int {
	sum := crc32.ChecksumIEEE(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at+len(b)+4 > len(s.log) {
		s.at = 0
	}
	if len(b)+4 > len(s.log) {
		return 0
	}
	at := s.at
	s.log[at], s.log[at+1], s.log[at+2], s.log[at+3] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
	s.at += 4 + copy(s.log[at+4:], b)
	return at
}
