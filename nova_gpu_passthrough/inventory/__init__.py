# SPDX-License-Identifier: Apache-2.0
"""The inventory that the audit makes of one host: model, file format and schema."""
