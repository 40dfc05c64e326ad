// Package config holds a broker's configuration under the names of Java's
// broker.conf: the typed settings that this broker acts on (Config), and the
// table of every key that a RocketMQ 5.3.3 broker knows (keys.tsv), so that an
// unmodified file is understood, an unknown key is noticed, and
// GET_BROKER_CONFIG (26) can list what tools expect.
//
// keys.tsv was recorded from the released classes: a Java program walked
// BrokerConfig, BrokerIdentity, NettyServerConfig, NettyClientConfig,
// MessageStoreConfig and AuthConfig by reflection, in the way of
// MixAll.object2Properties, and printed name, declaring class, type of the
// setter and value of a fresh object. Flags: i marked as important field, r
// without a setter (a file cannot change it), n null in a fresh object. Values
// that depend on the machine are written as ${…}; the formulas were checked
// against runs with 1, 2, 7 and 64 processors. listenPort and haListenPort are
// as BrokerStartup presets them, and bitMapLengthConsumeQueueExt as
// ConsumerFilterManager computes it at start.
//
// The package owns no goroutine. Holder has one lock, which lets one Update at a
// time through; readers take a snapshot and never wait. It does not look at the
// machine (host name, addresses, environment): Host brings that in. It does not
// know the black list's answer code or the topics' data version: broker/admin does.
package config
