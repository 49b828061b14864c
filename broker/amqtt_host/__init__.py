"""Runs amqtt's plugins unchanged: amqtt's own PluginManager and BrokerContext, on our engine."""

from broker.amqtt_host.config import AmqttConfigError, settings_of
from broker.amqtt_host.plugins import AmqttPlugins

__all__ = ["AmqttConfigError", "AmqttPlugins", "settings_of"]
