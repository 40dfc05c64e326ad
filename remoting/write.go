package remoting

import (
	"github.com/cloudwego/netpoll"
)

// maxPieces is how many pieces go into one write: netpoll gives the kernel 32 at
// most and takes a slow way through its poller for what is left.
const maxPieces = 28

// write writes a taken output and returns when the kernel has all of it, or an
// error after which the connection must be closed: netpoll calls it active still,
// and says nil to further flushes that write nothing.
// REQUIRES: the caller is the flusher.
func (c *Conn) write(buf []byte, views []view) error {
	if s := c.tls.Load(); s != nil {
		return s.write(buf, views)
	}
	w := writer{w: c.nc.Writer()}
	pos := 0
	for i := range views {
		if err := w.put(buf[pos:views[i].at]); err != nil {
			return err
		}
		pos = views[i].at
		if err := w.put(views[i].data); err != nil {
			return err
		}
	}
	if err := w.put(buf[pos:]); err != nil {
		return err
	}
	return w.flush()
}

// writer gives pieces to netpoll and flushes after so many of them or so much.
type writer struct {
	w      netpoll.Writer
	pieces int
	bytes  int
}

func (w *writer) put(p []byte) error {
	for len(p) > 0 {
		q := p[:min(len(p), flushPiece)]
		p = p[len(q):]
		if len(q) <= joinBelow || w.pieces == 0 && w.bytes == 0 && len(q) <= copyBelow {
			dst, err := w.w.Malloc(len(q))
			if err != nil {
				return err
			}
			copy(dst, q)
		} else if _, err := w.w.WriteBinary(q); err != nil {
			return err
		}
		w.pieces++
		w.bytes += len(q)
		if w.pieces >= maxPieces || w.bytes >= flushPiece {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyBelow is the size up to which a buffer is copied into netpoll's memory:
// linking a foreign piece costs more.
const copyBelow = 16 << 10

func (w *writer) flush() error {
	if w.pieces == 0 {
		return nil
	}
	w.pieces, w.bytes = 0, 0
	return w.w.Flush()
}
