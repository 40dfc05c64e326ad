package broker

import (
	"time"

	"github.com/merlinmq/merlin/broker/admin"
	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/broker/member"
	"github.com/merlinmq/merlin/broker/progress"
	"github.com/merlinmq/merlin/broker/pull"
	"github.com/merlinmq/merlin/broker/put"
	"github.com/merlinmq/merlin/broker/query"
	"github.com/merlinmq/merlin/broker/reply"
	"github.com/merlinmq/merlin/broker/send"
	"github.com/merlinmq/merlin/broker/txn"
	"github.com/merlinmq/merlin/protocol"
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

// handlers are the verbs.
type handlers struct {
	send     *send.Handler
	pull     *pull.Handler
	member   *member.Handler
	progress *progress.Handler
	query    *query.Handler
	admin    *admin.Handler
	txn      *txn.Service
	reply    *reply.Handler
}

func (b *Broker) newHandlers(l *lanes) *handlers {
	o := &b.opts
	return &handlers{
		query: query.New(query.Deps{Config: o.Config, Store: b.store, Logger: b.log}),
		admin: admin.New(admin.Deps{
			Config: o.Config, Topics: b.topics, Groups: b.groups, Offsets: b.offsets, Consumers: b.consumers,
			Producers: b.producers, Stats: b.stats, Store: b.store, Delay: b.delay, Clock: o.Clock, Logger: b.log,
			Addr:     b.told,
			Lanes:    admin.Lanes{Send: l.send, Pull: l.pull, LitePull: l.pull, Query: l.query, EndTransaction: l.transaction},
			Register: b.registrar.All, Told: b.registrar.Told, Active: b.active.Load,
		}),
		send: send.New(send.Deps{
			Config: o.Config, Topics: b.topics, Groups: b.groups, Locks: b.locks, Store: b.store, Put: b.put, Stats: b.stats,
			Told: b.registrar.Told, IDs: put.NewIDs(b.addr.Addr(), uint16(o.Process), uint32(o.Rand(1<<31)), o.Clock.Now),
			Clock: o.Clock, Logger: b.log, Rand: o.Rand, StoreHost: b.addr,
		}),
		pull: pull.New(pull.Deps{
			Config: o.Config, Topics: b.topics, Groups: b.groups, Consumers: b.consumers, Offsets: b.offsets,
			Store: b.store, Stats: b.stats, Hold: b.hold, Clock: o.Clock, Logger: b.log,
		}),
		member: member.New(member.Deps{
			Config: o.Config, Topics: b.topics, Groups: b.groups, Consumers: b.consumers, Producers: b.producers,
			Locks: b.locks, Stats: b.stats, Clock: o.Clock, Logger: b.log, Told: b.registrar.Told,
		}),
		txn: b.txn,
		reply: reply.New(reply.Deps{
			Config: o.Config, Topics: b.topics, Producers: b.producers, Put: b.put,
			Clock: o.Clock, Logger: b.log, Rand: o.Rand, StoreHost: b.addr, Told: b.registrar.Told,
		}),
		progress: progress.New(progress.Deps{
			Config: o.Config, Topics: b.topics, Groups: b.groups, Offsets: b.offsets, Store: b.store, Logger: b.log,
		}),
	}
}

// newRoutes says who answers which code. The fast port takes everything but
// reading, as Java's does.
func newRoutes(h *handlers, l *lanes, fast bool) *remoting.Routes {
	rs := remoting.NewRoutes()
	if !fast {
		remoting.On(rs, protocol.PullMessage, l.pull, h.pull.Pull)     // 11
		remoting.On(rs, protocol.LitePullMessage, l.pull, h.pull.Pull) // 361
	}
	rs.HandleBatches([]protocol.Code{protocol.SendMessage.Code, protocol.SendMessageV2.Code, protocol.SendBatchMessage.Code},
		l.send, h.send.Sends) // 10, 310, 320
	remoting.OnLocal(rs, protocol.SendMessageV2, h.send.Send)
	remoting.OnLocal(rs, protocol.SendBatchMessage, h.send.Send)
	remoting.On(rs, protocol.QueryMessage, l.query, h.query.Message)                                                      // 12
	remoting.On(rs, protocol.QueryConsumerOffset, l.consumer, h.progress.Query)                                           // 14
	remoting.On(rs, protocol.UpdateConsumerOffset, l.consumer, h.progress.Update)                                         // 15
	remoting.On(rs, protocol.UpdateAndCreateTopic, l.admin, h.admin.UpdateAndCreateTopic)                                 // 17
	remoting.On(rs, protocol.UpdateAndCreateTopicList, l.admin, h.admin.UpdateAndCreateTopicList)                         // 18
	remoting.On(rs, protocol.GetAllTopicConfig, l.admin, h.admin.GetAllTopicConfig)                                       // 21
	remoting.On(rs, protocol.UpdateBrokerConfig, l.admin, h.admin.UpdateBrokerConfig)                                     // 25
	remoting.On(rs, protocol.GetBrokerConfig, l.admin, h.admin.GetBrokerConfig)                                           // 26
	remoting.On(rs, protocol.GetBrokerRuntimeInfo, l.admin, h.admin.GetBrokerRuntimeInfo)                                 // 28
	remoting.On(rs, protocol.SearchOffsetByTimestamp, l.query, h.query.Search)                                            // 29
	remoting.On(rs, protocol.GetMaxOffset, l.query, h.query.MaxOffset)                                                    // 30
	remoting.On(rs, protocol.GetMinOffset, l.query, h.query.MinOffset)                                                    // 31
	remoting.On(rs, protocol.GetEarliestMsgStoreTime, l.query, h.query.EarliestStoreTime)                                 // 32
	remoting.On(rs, protocol.ViewMessageByID, l.query, h.query.View)                                                      // 33
	remoting.On(rs, protocol.HeartBeat, l.heartbeat, h.member.Heartbeat)                                                  // 34
	remoting.On(rs, protocol.UnregisterClient, l.client, h.member.Unregister)                                             // 35
	remoting.On(rs, protocol.ConsumerSendMsgBack, l.back, h.send.Back)                                                    // 36
	remoting.On(rs, protocol.EndTransaction, l.transaction, h.txn.End)                                                    // 37
	remoting.On(rs, protocol.GetConsumerListByGroup, l.client, h.member.ListConsumers)                                    // 38
	remoting.On(rs, protocol.LockBatchMQ, l.client, h.member.Lock)                                                        // 41
	remoting.On(rs, protocol.UnlockBatchMQ, l.client, h.member.Unlock)                                                    // 42
	remoting.On(rs, protocol.GetAllConsumerOffset, l.admin, h.admin.GetAllConsumerOffset)                                 // 43
	remoting.On(rs, protocol.GetAllDelayOffset, l.admin, h.admin.GetAllDelayOffset)                                       // 45
	remoting.On(rs, protocol.CheckClientConfig, l.client, h.member.CheckConfig)                                           // 46
	remoting.On(rs, protocol.UpdateAndCreateSubscriptionGroup, l.admin, h.admin.UpdateAndCreateSubscriptionGroup)         // 200
	remoting.On(rs, protocol.GetAllSubscriptionGroupConfig, l.admin, h.admin.GetAllSubscriptionGroupConfig)               // 201
	remoting.On(rs, protocol.GetTopicStatsInfo, l.admin, h.admin.GetTopicStatsInfo)                                       // 202
	remoting.On(rs, protocol.GetConsumerConnectionList, l.admin, h.admin.GetConsumerConnectionList)                       // 203
	remoting.On(rs, protocol.GetProducerConnectionList, l.admin, h.admin.GetProducerConnectionList)                       // 204
	remoting.On(rs, protocol.DeleteSubscriptionGroup, l.admin, h.admin.DeleteSubscriptionGroup)                           // 207
	remoting.On(rs, protocol.GetConsumeStats, l.admin, h.admin.GetConsumeStats)                                           // 208
	remoting.On(rs, protocol.DeleteTopicInBroker, l.admin, h.admin.DeleteTopicInBroker)                                   // 215
	remoting.On(rs, protocol.InvokeBrokerToResetOffset, l.admin, h.admin.InvokeBrokerToResetOffset)                       // 222
	remoting.On(rs, protocol.InvokeBrokerToGetConsumerStatus, l.admin, h.admin.InvokeBrokerToGetConsumerStatus)           // 223
	remoting.On(rs, protocol.UpdateAndCreateSubscriptionGroupList, l.admin, h.admin.UpdateAndCreateSubscriptionGroupList) // 225
	remoting.On(rs, protocol.QueryTopicConsumeByWho, l.admin, h.admin.QueryTopicConsumeByWho)                             // 300
	remoting.On(rs, protocol.QueryConsumeTimeSpan, l.admin, h.admin.QueryConsumeTimeSpan)                                 // 303
	remoting.On(rs, protocol.GetSystemTopicListFromBroker, l.admin, h.admin.GetSystemTopicListFromBroker)                 // 305
	remoting.On(rs, protocol.CleanExpiredConsumeQueue, l.admin, h.admin.CleanExpiredConsumeQueue)                         // 306
	remoting.On(rs, protocol.GetConsumerRunningInfo, l.admin, h.admin.GetConsumerRunningInfo)                             // 307
	remoting.On(rs, protocol.QueryCorrectionOffset, l.admin, h.admin.QueryCorrectionOffset)                               // 308
	remoting.On(rs, protocol.ConsumeMessageDirectly, l.admin, h.admin.ConsumeMessageDirectly)                             // 309
	remoting.On(rs, protocol.CloneGroupOffset, l.admin, h.admin.CloneGroupOffset)                                         // 314
	remoting.On(rs, protocol.ViewBrokerStatsData, l.admin, h.admin.ViewBrokerStatsData)                                   // 315
	remoting.On(rs, protocol.CleanUnusedTopic, l.admin, h.admin.CleanUnusedTopic)                                         // 316
	remoting.On(rs, protocol.GetBrokerConsumeStats, l.admin, h.admin.GetBrokerConsumeStats)                               // 317
	remoting.On(rs, protocol.QueryConsumeQueue, l.admin, h.admin.QueryConsumeQueue)                                       // 321
	remoting.On(rs, protocol.ResumeCheckHalfMessage, l.admin, h.txn.Resume)                                               // 323
	rs.Handle(protocol.SendReplyMessage.Code, l.reply, h.reply.Send)                                                      // 324
	rs.Handle(protocol.SendReplyMessageV2.Code, l.reply, h.reply.Send)                                                    // 325
	remoting.On(rs, protocol.GetAllProducerInfo, l.admin, h.admin.GetAllProducerInfo)                                     // 328
	remoting.On(rs, protocol.DeleteExpiredCommitLog, l.admin, h.admin.DeleteExpiredCommitLog)                             // 329
	remoting.On(rs, protocol.QueryTopicsByConsumer, l.admin, h.admin.QueryTopicsByConsumer)                               // 343
	remoting.On(rs, protocol.QuerySubscriptionByConsumer, l.admin, h.admin.QuerySubscriptionByConsumer)                   // 345
	remoting.On(rs, protocol.GetTopicConfig, l.admin, h.admin.GetTopicConfig)                                             // 351
	remoting.On(rs, protocol.GetSubscriptionGroupConfig, l.admin, h.admin.GetSubscriptionGroupConfig)                     // 352
	remoting.On(rs, protocol.UpdateAndGetGroupForbidden, l.admin, h.admin.UpdateAndGetGroupForbidden)                     // 353
	remoting.On(rs, protocol.GetBrokerHAStatus, l.admin, h.admin.GetBrokerHaStatus)                                       // 907
	rs.Large(protocol.QueryMessage.Code, protocol.ViewMessageByID.Code)
	rs.Reads(protocol.QueryMessage.Code, protocol.ViewMessageByID.Code, protocol.SearchOffsetByTimestamp.Code,
		protocol.GetAllTopicConfig.Code, protocol.GetBrokerConfig.Code, protocol.GetBrokerRuntimeInfo.Code,
		protocol.GetAllConsumerOffset.Code, protocol.GetAllDelayOffset.Code, protocol.GetAllSubscriptionGroupConfig.Code,
		protocol.GetTopicStatsInfo.Code, protocol.GetConsumeStats.Code, protocol.QueryTopicConsumeByWho.Code,
		protocol.QueryConsumeTimeSpan.Code, protocol.GetSystemTopicListFromBroker.Code, protocol.ViewBrokerStatsData.Code,
		protocol.GetBrokerConsumeStats.Code, protocol.QueryConsumeQueue.Code, protocol.GetAllProducerInfo.Code,
		protocol.QueryTopicsByConsumer.Code, protocol.QuerySubscriptionByConsumer.Code)
	return rs
}
