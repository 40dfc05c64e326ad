package main

import (
	"os"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/cmd/internal/cli"
)

// thisHost is what the defaults of the configuration take from this machine.
func thisHost(env func(string) string) config.Host {
	name, err := os.Hostname()
	if err != nil {
		name = "" // DEFAULT_BROKER
	}
	return config.Host{
		Name: name, Home: cli.Home(env), Address: cli.Address(),
		NamesrvAddr: env("NAMESRV_ADDR"), RocketMQHome: env("ROCKETMQ_HOME"),
	}
}
