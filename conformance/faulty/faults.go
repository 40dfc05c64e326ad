package faulty

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Fault is one broken promise.
type Fault struct {
	// Name is unique, lower case with dashes.
	Name string
	// What is one sentence: what the servers now do wrong.
	What string
	// Cases name the cases of the suite that are expected to see it.
	Cases []string
	// Edit looks at every frame of every connection, from many goroutines.
	Edit func(f *Frame) Action
}

var (
	sends = []protocol.Code{protocol.SendMessage.Code, protocol.SendMessageV2.Code, protocol.SendBatchMessage.Code}
	pulls = []protocol.Code{protocol.PullMessage.Code, protocol.LitePullMessage.Code}
)

// Faults returns all faults.
func Faults() []Fault {
	return slices.Concat(messageFaults(), transactionFaults(), recordFaults(), groupFaults())
}

func messageFaults() []Fault {
	return []Fault{
		{"send-code", "A send that was stored is answered with code 1.", []string{"send-sync"}, func(f *Frame) Action {
			if !f.Answer(sends...) {
				return Pass
			}
			f.Cmd.Code = int32(protocol.SystemError)
			return Changed
		}},
		{"send-offset", "The queue offset in answers to sends is one too high.", []string{"send-sync"}, oneMore("queueOffset", sends...)},
		{"pull-next", "The next offset in answers to pulls is one too high.", []string{"consume-pull"}, oneMore("nextBeginOffset", pulls...)},
		{"pull-min", "The minimum offset in answers to pulls is one too high.", []string{"consume-pull"}, oneMore("minOffset", pulls...)},
		{"pull-max", "The maximum offset in answers to pulls is one too high.", []string{"consume-pull"}, oneMore("maxOffset", pulls...)},
		{"end-offset", "The end of a queue is answered one too high.", []string{"send-empty", "delay-level-clamped"}, oneMore("offset", protocol.GetMaxOffset.Code)},
		{"search-offset", "The offset of a time is answered one too high.", []string{"offset-by-time"}, oneMore("offset", protocol.SearchOffsetByTimestamp.Code)},
		{"tag-ignored", "A pull answers messages of every tag.", []string{"consume-pull"}, func(f *Frame) Action {
			return f.request("subscription", func(string) string { return "*" }, pulls...)
		}},
		{"delay-ignored", "A delayed message is visible at once.", []string{"delay-level", "delay-level-clamped"}, func(f *Frame) Action {
			return f.request("properties", func(v string) string {
				ps := message.ParseProperties([]byte(v))
				ps.Delete(message.PropertyDelayLevel)
				return string(ps.Append(nil))
			}, sends...)
		}},
		{"batch-cut", "The last message of a batch is not stored.", []string{"send-batch"}, cutBatch},
		// The Go client's one-way messages do not say that they are; it drops the answers.
		{"send-lost", "A send is answered with success and dropped.", []string{"send-oneway"}, swallow(sends...)},
		{"send-twice", "A message that is sent is stored twice.", []string{"send-sync", "send-oneway"}, func(f *Frame) Action {
			if f.Request(sends...) {
				return Twice
			}
			return Pass
		}},
		{"delay-early", "A delayed message comes one level too early.", []string{"delay-level"}, func(f *Frame) Action {
			return f.request("properties", func(v string) string {
				ps := message.ParseProperties([]byte(v))
				if level, err := strconv.Atoi(get(ps, message.PropertyDelayLevel)); err == nil && level > 1 {
					ps.Set(message.PropertyDelayLevel, strconv.Itoa(level-1))
				}
				return string(ps.Append(nil))
			}, sends...)
		}},
		{"reply-lost", "The reply to a request is not handed to who asked.", []string{"request-reply"},
			unheard(protocol.PushReplyMessageToClient.Code)},
	}
}

func transactionFaults() []Fault {
	return []Fault{
		{"commit-to-rollback", "A commit of a transaction rolls it back.", []string{"transaction-commit"}, func(f *Frame) Action {
			return f.request("commitOrRollback", func(v string) string {
				if v == strconv.Itoa(int(message.SysFlagCommit)) {
					return strconv.Itoa(int(message.SysFlagRollback))
				}
				return v
			}, protocol.EndTransaction.Code)
		}},
		{"rollback-to-commit", "A rollback of a transaction commits it.", []string{"transaction-commit"}, func(f *Frame) Action {
			return f.request("commitOrRollback", func(v string) string {
				if v == strconv.Itoa(int(message.SysFlagRollback)) {
					return strconv.Itoa(int(message.SysFlagCommit))
				}
				return v
			}, protocol.EndTransaction.Code)
		}},
		{"half-visible", "A half message is seen before its transaction is committed.", []string{"transaction-commit"}, func(f *Frame) Action {
			f.request("sysFlag", func(v string) string {
				flag, _ := strconv.Atoi(v)
				return strconv.Itoa(flag &^ int(message.SysFlagTransactionMask))
			}, sends...)
			return f.request("properties", func(v string) string {
				ps := message.ParseProperties([]byte(v))
				ps.Delete(message.PropertyTransactionPrepared)
				return string(ps.Append(nil))
			}, sends...)
		}},
		{"check-lost", "Nobody is asked about an open transaction.", []string{"transaction-check"},
			unheard(protocol.CheckTransactionState.Code)},
	}
}

func recordFaults() []Fault {
	return []Fault{
		{"message-twice", "The first message of a pull stands in it twice.", []string{"consume-pull"}, records(func(rs [][]byte) [][]byte {
			return append(rs[:1:1], rs...)
		})},
		{"message-lost", "The last message of a pull is left out.", []string{"consume-pull"}, records(func(rs [][]byte) [][]byte {
			return rs[:len(rs)-1]
		})},
		{"body-flipped", "A bit of each body is wrong, its checksum is right.", []string{"consume-pull"}, rewrite(func(m *message.Message) {
			m.Body = append([]byte(nil), m.Body...)
			m.Body[0] ^= 1
		})},
		{"property-removed", "Messages come without their keys.", []string{"send-properties"}, rewrite(func(m *message.Message) {
			ps := message.ParseProperties(m.Properties)
			ps.Delete(message.PropertyKeys)
			m.Properties = ps.Append(nil)
		})},
		{"property-swapped", "Keys and tag of a message have changed places.", []string{"send-properties"}, rewrite(func(m *message.Message) {
			ps := message.ParseProperties(m.Properties)
			keys, tag := get(ps, message.PropertyKeys), get(ps, message.PropertyTags)
			ps.Set(message.PropertyKeys, tag)
			ps.Set(message.PropertyTags, keys)
			m.Properties = ps.Append(nil)
		})},
		{"born-time", "Messages were born an hour before.", []string{"send-born"}, rewrite(func(m *message.Message) { m.BornTimestamp -= 3600 * 1000 })},
		{"born-host", "Messages were born where they are stored.", []string{"send-born"}, rewrite(func(m *message.Message) { m.BornHost = m.StoreHost })},
		{"store-time", "All messages were stored at the same time.", []string{"send-born"}, rewrite(func(m *message.Message) { m.StoreTimestamp = 1 })},
		{"wake-up-late", "A pull that waits is answered five seconds after the message came.", []string{"consume-long-poll"}, func(f *Frame) Action {
			if f.Answer(pulls...) && f.Cmd.Code == int32(protocol.Success) && f.Took > 100*time.Millisecond {
				return Late
			}
			return Pass
		}},
		{"flag-lost", "The flag of the application is 0 in every message.", []string{"send-properties"}, rewrite(func(m *message.Message) { m.Flag = 0 })},
		{"queue-offset", "Messages say a queue offset that is one too high.", []string{"consume-pull"}, rewrite(func(m *message.Message) { m.QueueOffset++ })},
		{"reconsume-times", "The reconsume count of a message stays 0.", []string{"retry"}, rewrite(func(m *message.Message) { m.ReconsumeTimes = 0 })},
	}
}

var queueCount = regexp.MustCompile(`"(readQueueNums|writeQueueNums)":(\d+)`)
var lockOwner = regexp.MustCompile(`"clientId":"[^"]*"`)
var lastMember = regexp.MustCompile(`,?"[^"]*"\]`)

func groupFaults() []Fault {
	return []Fault{
		{"offset-zero", "A committed offset is answered as 0.", []string{"offset-not-found"}, func(f *Frame) Action {
			return f.answer("offset", func(string) string { return "0" }, protocol.QueryConsumerOffset.Code)
		}},
		{"offset-commit-lost", "Commits of offsets are dropped.", []string{"offset-not-found"}, swallow(protocol.UpdateConsumerOffset.Code)},
		{"send-back-lost", "A message that a consumer sends back is dropped.", []string{"retry"}, swallow(protocol.ConsumerSendMsgBack.Code)},
		{"retry-endless", "A message that failed too often is delivered again.", []string{"retry-dead-letter"}, func(f *Frame) Action {
			return f.request("maxReconsumeTimes", func(string) string { return "16" }, protocol.ConsumerSendMsgBack.Code)
		}},
		{"lock-none", "A lock of queues grants none of them.", []string{"order-selector"}, func(f *Frame) Action {
			if !f.Answer(protocol.LockBatchMQ.Code) {
				return Pass
			}
			f.Cmd.Body = []byte(`{"lockOKMQSet":[]}`)
			return Changed
		}},
		{"lock-all", "A lock of queues is granted to everybody.", []string{"order-locked"}, func(f *Frame) Action {
			if !f.Request(protocol.LockBatchMQ.Code) {
				return Pass
			}
			f.Cmd.Body = lockOwner.ReplaceAll(f.Cmd.Body, []byte(`"clientId":"everybody"`))
			return Changed
		}},
		{"unlock-lost", "An unlock of queues is dropped.", []string{"order-take-over"}, swallow(protocol.UnlockBatchMQ.Code)},
		{"join-unheard", "The members of a group are not told that one joined.", []string{"consume-member-joins"},
			unheard(protocol.NotifyConsumerIDsChanged.Code)},
		{"member-missing", "The list of a group's members lacks the last one.", []string{"consume-cluster"}, func(f *Frame) Action {
			if !f.Answer(protocol.GetConsumerListByGroup.Code) {
				return Pass
			}
			f.Cmd.Body = lastMember.ReplaceAll(f.Cmd.Body, []byte("]"))
			return Changed
		}},
		{"route-queue-missing", "A route has one queue less than the topic.", []string{"send-queue-beyond"}, func(f *Frame) Action {
			if !f.Answer(protocol.GetRouteInfoByTopic.Code) {
				return Pass
			}
			f.Cmd.Body = queueCount.ReplaceAllFunc(f.Cmd.Body, func(b []byte) []byte {
				at := bytes.LastIndexByte(b, ':') + 1
				n, _ := strconv.Atoi(string(b[at:]))
				return strconv.AppendInt(b[:at:at], int64(n-1), 10)
			})
			return Changed
		}},
	}
}

// set replaces a header field; an absent one stays absent.
func (f *Frame) set(key string, edit func(string) string) Action {
	for i := range f.Cmd.Ext {
		if f.Cmd.Ext[i].Key == key {
			f.Cmd.Ext[i] = wire.Field{Key: key, Value: edit(f.Cmd.Ext[i].Value)}
			return Changed
		}
	}
	return Pass
}

func (f *Frame) answer(key string, edit func(string) string, codes ...protocol.Code) Action {
	if !f.Answer(codes...) {
		return Pass
	}
	return f.set(key, edit)
}

func (f *Frame) request(key string, edit func(string) string, codes ...protocol.Code) Action {
	if !f.Request(codes...) {
		return Pass
	}
	return f.set(key, edit)
}

// oneMore adds one to a number in the answers to some codes.
func oneMore(key string, codes ...protocol.Code) func(*Frame) Action {
	return func(f *Frame) Action {
		return f.answer(key, func(v string) string {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return v
			}
			return strconv.FormatInt(n+1, 10)
		}, codes...)
	}
}

// swallow drops requests and tells success.
func swallow(codes ...protocol.Code) func(*Frame) Action {
	return func(f *Frame) Action {
		if f.Request(codes...) {
			return Swallow
		}
		return Pass
	}
}

// unheard drops what the server asks of a client.
func unheard(code protocol.Code) func(*Frame) Action {
	return func(f *Frame) Action {
		if f.ToClient && !f.Cmd.IsResponse() && f.Code == code {
			return Swallow
		}
		return Pass
	}
}

func get(ps message.Properties, name string) string {
	v, _ := ps.Get(name)
	return v
}

// records edits the list of records that a pull found.
func records(edit func([][]byte) [][]byte) func(*Frame) Action {
	return func(f *Frame) Action {
		if !f.Answer(pulls...) || f.Cmd.Code != int32(protocol.Success) {
			return Pass
		}
		var rs [][]byte
		for rest := f.Cmd.Body; len(rest) > 0; {
			var m message.Message
			n, err := message.Decode(rest, &m, false)
			if err != nil {
				return Pass
			}
			rs, rest = append(rs, rest[:n]), rest[n:]
		}
		if len(rs) == 0 {
			return Pass
		}
		f.Cmd.Body = bytes.Join(edit(rs), nil)
		return Changed
	}
}

// rewrite edits every message that a pull found and encodes it again, with a
// checksum that fits.
func rewrite(edit func(*message.Message)) func(*Frame) Action {
	return records(func(rs [][]byte) [][]byte {
		for i, r := range rs {
			var m message.Message
			if _, err := message.Decode(r, &m, false); err != nil {
				continue
			}
			edit(&m)
			if again, err := message.Append(nil, &m); err == nil {
				rs[i] = again
			}
		}
		return rs
	})
}

// cutBatch leaves the last message out of a batch that is sent.
func cutBatch(f *Frame) Action {
	if !f.Request(protocol.SendBatchMessage.Code) {
		return Pass
	}
	var all []message.BatchEntry
	err := message.DecodeBatchBody(f.Cmd.Body, func(e message.BatchEntry) error {
		all = append(all, e)
		return nil
	})
	if err != nil || len(all) < 2 {
		return Pass
	}
	var body []byte
	for _, e := range all[:len(all)-1] {
		if body, err = message.AppendBatchEntry(body, e); err != nil {
			return Pass
		}
	}
	f.Cmd.Body = body
	return Changed
}
