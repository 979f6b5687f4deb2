package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"
)

// Keys, compare and set, transactions, and a blocked reader.
func keyValue(client *api.Client) error {
	kv := client.KV()
	value := []byte{0, 1, 2, 0xff, '\n'}
	var index uint64
	return steps(
		named("put and get bytes", func() error {
			if _, err := kv.Put(&api.KVPair{Key: "app/config", Value: value, Flags: 42}, nil); err != nil {
				return err
			}
			pair, meta, err := kv.Get("app/config", nil)
			if err != nil {
				return err
			}
			index = meta.LastIndex
			return expect(bytes.Equal(pair.Value, value) && pair.Flags == 42, "pair %+v", pair)
		}),
		named("compare and set", func() error {
			pair, _, err := kv.Get("app/config", nil)
			if err != nil {
				return err
			}
			pair.Value = []byte("new")
			first, _, err := kv.CAS(pair, nil)
			if err != nil {
				return err
			}
			second, _, err := kv.CAS(pair, nil)
			if err != nil {
				return err
			}
			return expect(first && !second, "first %v, second %v", first, second)
		}),
		named("a blocked reader sees the change", func() error {
			pair, _, err := kv.Get("app/config", &api.QueryOptions{WaitIndex: index, WaitTime: 10 * time.Second})
			if err != nil {
				return err
			}
			return expect(string(pair.Value) == "new", "value %q", pair.Value)
		}),
		named("keys and lists", func() error {
			if _, err := kv.Put(&api.KVPair{Key: "app/more/deep", Value: []byte("x")}, nil); err != nil {
				return err
			}
			keys, _, err := kv.Keys("app/", "/", nil)
			if err != nil {
				return err
			}
			pairs, _, err := kv.List("app/", nil)
			if err != nil {
				return err
			}
			return expect(len(keys) == 2 && keys[1] == "app/more/" && len(pairs) == 2, "keys %v", keys)
		}),
		named("a transaction", func() error {
			done, _, _, err := client.Txn().Txn(api.TxnOps{
				{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "txn/a", Value: []byte("1")}},
				{KV: &api.KVTxnOp{Verb: api.KVGet, Key: "app/config"}},
			}, nil)
			if err != nil {
				return err
			}
			refused, answer, _, err := client.Txn().Txn(api.TxnOps{
				{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "txn/b", Value: []byte("1")}},
				{KV: &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: "txn/a"}},
			}, nil)
			if err != nil {
				return err
			}
			left, _, err := kv.Get("txn/b", nil)
			if err != nil {
				return err
			}
			return expect(done && !refused && len(answer.Errors) == 1 && left == nil, "errors %+v", answer.Errors)
		}),
		named("delete a tree", func() error {
			if _, err := kv.DeleteTree("app/", nil); err != nil {
				return err
			}
			pairs, _, err := kv.List("app/", nil)
			if err != nil {
				return err
			}
			return expect(len(pairs) == 0, "%d pairs left", len(pairs))
		}),
	)
}

// Takes the lock ROUNDS times; while it has it, adds one to a counter that nothing else guards.
func lock(client *api.Client) error {
	rounds, err := strconv.Atoi(os.Getenv("ROUNDS"))
	if err != nil {
		return err
	}
	for round := 0; round < rounds; round++ {
		held, err := client.LockOpts(&api.LockOptions{Key: "locks/counter", SessionTTL: "10s", LockDelay: time.Millisecond,
			LockWaitTime: 2 * time.Second})
		if err != nil {
			return err
		}
		lost, err := held.Lock(nil)
		if err != nil {
			return err
		}
		pair, _, err := client.KV().Get("counter", &api.QueryOptions{RequireConsistent: true})
		if err != nil {
			return err
		}
		count := 0
		if pair != nil {
			if count, err = strconv.Atoi(string(pair.Value)); err != nil {
				return err
			}
		}
		next := &api.KVPair{Key: "counter", Value: []byte(strconv.Itoa(count + 1))}
		if _, err := client.KV().Put(next, nil); err != nil {
			return err
		}
		select {
		case <-lost:
			return fmt.Errorf("the lock was lost in round %d", round)
		default:
		}
		if err := held.Unlock(); err != nil {
			return err
		}
	}
	return nil
}

// Stands for election until it is killed; says when it leads and when no longer.
func elect(client *api.Client) error {
	held, err := client.LockOpts(&api.LockOptions{Key: "election/leader", Value: []byte(os.Getenv("NAME")),
		SessionTTL: "10s", LockDelay: time.Millisecond, LockWaitTime: 2 * time.Second})
	if err != nil {
		return err
	}
	for {
		lost, err := held.Lock(nil)
		if err != nil {
			fmt.Printf("waiting: %v\n", err)
			time.Sleep(200 * time.Millisecond)
			continue
		}
		fmt.Printf("leading %s\n", os.Getenv("NAME"))
		<-lost
		fmt.Printf("lost %s\n", os.Getenv("NAME"))
		_ = held.Unlock()
	}
}
