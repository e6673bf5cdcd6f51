# What was given: the settings file has no null, and a key that is left out means the default.
#
#   settings.redis = given { inherit (store) url; };
{ lib }: lib.filterAttrs (_: value: value != null)
