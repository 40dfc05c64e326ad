package broker

import (
	"time"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/remoting"
)

// lanes are the classes of requests, each with its own bound. The two ports
// share them.
type lanes struct {
	send, back, pull, query, admin, client, consumer, heartbeat, transaction, reply *remoting.Lane
}

func newLanes(h *config.Holder) *lanes {
	c := h.Get()
	wait := func(f func(*config.Config) config.Millis) func() time.Duration {
		return func() time.Duration {
			if c := h.Get(); c.BrokerFastFailureEnable {
				return f(c).Duration()
			}
			return 0
		}
	}
	return &lanes{
		send: &remoting.Lane{Name: "send", Inline: true, Capacity: c.SendThreadPoolQueueCapacity},
		// Parked requests count as in work, so there is room for them here.
		pull:     &remoting.Lane{Name: "pull", Inline: true, Capacity: c.PullThreadPoolQueueCapacity + parkedLimit},
		consumer: &remoting.Lane{Name: "consumer", Inline: true, Capacity: c.ConsumerManagerThreadPoolQueueCapacity},
		back: &remoting.Lane{Name: "sendBack", Workers: c.SendMessageThreadPoolNums, Capacity: c.SendThreadPoolQueueCapacity,
			MaxWait: wait(func(c *config.Config) config.Millis { return c.WaitTimeMillsInSendQueue })},
		query: &remoting.Lane{Name: "query", Workers: c.QueryMessageThreadPoolNums, Capacity: c.QueryThreadPoolQueueCapacity},
		admin: &remoting.Lane{Name: "admin", Workers: c.AdminBrokerThreadPoolNums, Capacity: c.AdminBrokerThreadPoolQueueCapacity,
			MaxWait: wait(func(c *config.Config) config.Millis { return c.WaitTimeMillsInAdminBrokerQueue })},
		client: &remoting.Lane{Name: "client", Workers: c.ClientManageThreadPoolNums, Capacity: c.ClientManagerThreadPoolQueueCapacity},
		transaction: &remoting.Lane{Name: "transaction", Workers: c.EndTransactionThreadPoolNums, Capacity: c.EndTransactionPoolQueueCapacity,
			MaxWait: wait(func(c *config.Config) config.Millis { return c.WaitTimeMillsInTransactionQueue })},
		reply: &remoting.Lane{Name: "reply", Workers: c.ProcessReplyMessageThreadPoolNums, Capacity: c.ReplyThreadPoolQueueCapacity},
		heartbeat: &remoting.Lane{Name: "heartbeat", Workers: c.HeartbeatThreadPoolNums, Capacity: c.HeartbeatThreadPoolQueueCapacity,
			MaxWait: wait(func(c *config.Config) config.Millis { return c.WaitTimeMillsInHeartbeatQueue })},
	}
}

// all are the lanes, each once.
func (l *lanes) all() []*remoting.Lane {
	return []*remoting.Lane{l.send, l.back, l.pull, l.query, l.admin, l.client, l.consumer, l.heartbeat, l.transaction, l.reply}
}
