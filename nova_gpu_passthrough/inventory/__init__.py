# SPDX-License-Identifier: Apache-2.0
"""What the audit found on one host: model, file format and schema. No Nova, no sysfs here."""
